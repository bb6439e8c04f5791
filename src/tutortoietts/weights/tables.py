"""Key tables of the public checkpoints: which of their tensors becomes which of ours. For templates see ``convert``.

The entries of `core.components` name them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutortoietts.weights.convert import Drop, Rule, Table, swap_last_two
from tutortoietts.weights.xtts import part

__all__ = [
    "AUTOREGRESSIVE",
    "BIGVGAN",
    "CLASSIFIER",
    "CLVP",
    "CVVP",
    "DIFFUSION",
    "DVAE",
    "HIFIGAN",
    "RANDOM_LATENT",
    "SPEAKER_ENCODER",
    "UNIVNET",
    "XTTS",
]


_LINEAR_GAIN = 0.1  # the learning-rate multiplier of the equalised layers of random_latent


def _rotary_frequencies(shape: torch.Size) -> Tensor:
    """Return (n,): 10000 ** (-k / n), the angular step of each rotated pair."""
    count = shape[0]
    return 10000.0 ** (-torch.arange(count, dtype=torch.float32, device="cpu") / count)


def _antialias(shape: torch.Size) -> Tensor:
    """Return (1, 1, 12), the filter of every activation of BigVGAN."""
    from tutortoietts.models.bigvgan import antialias_filter

    return antialias_filter()[None, None]


def _equalised_weight(weight: Tensor) -> Tensor:
    """Return weight * 0.1 / sqrt(in), times the sqrt(2) that follows the activation, which scales through it."""
    return weight * (_LINEAR_GAIN * math.sqrt(2 / weight.shape[1]))


def _equalised_bias(bias: Tensor) -> Tensor:
    return bias * (_LINEAR_GAIN * math.sqrt(2))


_SAME = Rule("{rest}", "{rest}")  # for modules that keep the original names; the strict load refuses strangers


def _conv_as_linear(weight: Tensor) -> Tensor:
    """Reshape (out, in, taps) of a Conv1d to (out, taps * in) of a TimeConv, or with one tap of a Linear."""
    return weight.permute(0, 2, 1).flatten(1)


def _under(rules: tuple[Rule, ...], theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the same rules for a block under these prefixes."""
    return tuple(Rule(f"{theirs}.{rule.theirs}", f"{ours}.{rule.ours}", rule.op) for rule in rules)


_ATTENTION = (
    Rule("norm.{p}", "norm.{p}"),
    Rule("qkv.weight", "qkv.weight", _conv_as_linear),
    Rule("qkv.bias", "qkv.bias"),
    Rule("proj_out.weight", "proj_out.weight", _conv_as_linear),
    Rule("proj_out.bias", "proj_out.bias"),
    Rule("relative_pos_embeddings.relative_attention_bias.weight", "bias.table.weight"),
)

_HIFIGAN_BODY = (
    Rule("conv_pre.{p}", "conv_pre.{p}"),
    Rule("conv_post.{p}", "conv_post.{p}"),
    Rule("resblocks.{i}.convs1.{j}.{p}", "resblocks.{i}.dilated.{j}.{p}"),
    Rule("resblocks.{i}.convs2.{j}.{p}", "resblocks.{i}.plain.{j}.{p}"),
)

BIGVGAN = Table(
    nested="generator",
    rules=(
        *_HIFIGAN_BODY,
        Rule("ups.{i}.0.{p}", "ups.{i}.{p}"),
        Rule("resblocks.{i}.activations.{j}.act.{a}", "resblocks.{i}.activations.{j}.{a}"),
        Rule("activation_post.act.{a}", "activation_post.{a}"),
    ),
    drop=(
        Drop("{rest}.upsample.filter", _antialias),
        Drop("{rest}.downsample.lowpass.filter", _antialias),
    ),
)

HIFIGAN = Table(
    nested="model",
    select=part("hifigan"),
    rules=(
        *_HIFIGAN_BODY,
        Rule("ups.{i}.{p}", "ups.{i}.{p}"),
        Rule("cond_layer.{p}", "speaker.{p}"),
        Rule("conds.{i}.{p}", "conds.{i}.{p}"),
    ),
)

UNIVNET = Table(
    nested="model_g",
    rules=(
        Rule("conv_pre.{p}", "conv_pre.{p}"),
        Rule("conv_post.1.{p}", "conv_post.{p}"),
        Rule("res_stack.{i}.convt_pre.1.{p}", "blocks.{i}.upsample.{p}"),
        Rule("res_stack.{i}.conv_blocks.{j}.1.{p}", "blocks.{i}.convs.{j}.{p}"),
        Rule("res_stack.{i}.kernel_predictor.input_conv.0.{p}", "blocks.{i}.predictor.input.{p}"),
        Rule("res_stack.{i}.kernel_predictor.residual_convs.{j}.1.{p}", "blocks.{i}.predictor.residual.{j}.0.{p}"),
        Rule("res_stack.{i}.kernel_predictor.residual_convs.{j}.3.{p}", "blocks.{i}.predictor.residual.{j}.1.{p}"),
        Rule("res_stack.{i}.kernel_predictor.kernel_conv.{p}", "blocks.{i}.predictor.kernel.{p}"),
        Rule("res_stack.{i}.kernel_predictor.bias_conv.{p}", "blocks.{i}.predictor.bias.{p}"),
    ),
)

CLASSIFIER = Table(
    rules=(
        Rule("enc.init.0.{p}", "init.{p}"),
        Rule("enc.res.{i}.in_layers.0.{p}", "res.{i}.norm1.{p}"),
        Rule("enc.res.{i}.in_layers.2.{p}", "res.{i}.conv1.{p}"),
        Rule("enc.res.{i}.out_layers.0.{p}", "res.{i}.norm2.{p}"),
        Rule("enc.res.{i}.out_layers.3.{p}", "res.{i}.conv2.{p}"),
        Rule("enc.res.{i}.op.{p}", "res.{i}.{p}"),
        Rule("enc.final.0.{p}", "final_norm.{p}"),
        Rule("enc.final.2.{p}", "final_conv.{p}"),
        *_under(_ATTENTION, "enc.attn.{i}", "attn.{i}"),
        Rule("head.{p}", "head.{p}"),
    )
)

RANDOM_LATENT = Table(
    rules=(
        Rule("layers.5.{p}", "out.{p}"),
        Rule("layers.{i}.weight", "hidden.{i}.weight", _equalised_weight),
        Rule("layers.{i}.bias", "hidden.{i}.bias", _equalised_bias),
    )
)

_GPT2_BLOCK = (
    Rule("gpt.h.{i}.attn.c_attn.weight", "gpt.blocks.{i}.qkv.weight", swap_last_two),
    Rule("gpt.h.{i}.attn.c_attn.bias", "gpt.blocks.{i}.qkv.bias"),
    Rule("gpt.h.{i}.attn.c_proj.weight", "gpt.blocks.{i}.proj.weight", swap_last_two),
    Rule("gpt.h.{i}.attn.c_proj.bias", "gpt.blocks.{i}.proj.bias"),
    Rule("gpt.h.{i}.mlp.c_fc.weight", "gpt.blocks.{i}.widen.weight", swap_last_two),
    Rule("gpt.h.{i}.mlp.c_fc.bias", "gpt.blocks.{i}.widen.bias"),
    Rule("gpt.h.{i}.mlp.c_proj.weight", "gpt.blocks.{i}.narrow.weight", swap_last_two),
    Rule("gpt.h.{i}.mlp.c_proj.bias", "gpt.blocks.{i}.narrow.bias"),
    Rule("gpt.h.{i}.ln_1.{p}", "gpt.blocks.{i}.ln_1.{p}"),
    Rule("gpt.h.{i}.ln_2.{p}", "gpt.blocks.{i}.ln_2.{p}"),
    Rule("gpt.ln_f.{p}", "gpt.ln_f.{p}"),
)

_CODE_GPT = (
    *_GPT2_BLOCK,
    Rule("mel_pos_embedding.emb.weight", "mel_pos_embedding.weight"),
    Rule("text_pos_embedding.emb.weight", "text_pos_embedding.weight"),
)
_STALE_MASKS = (Drop("gpt.h.{i}.attn.bias"), Drop("gpt.h.{i}.attn.masked_bias"))

AUTOREGRESSIVE = Table(
    rules=(
        *_CODE_GPT,
        Rule("conditioning_encoder.init.weight", "conditioning_encoder.init.weight", _conv_as_linear),
        Rule("conditioning_encoder.init.bias", "conditioning_encoder.init.bias"),
        *_under(_ATTENTION, "conditioning_encoder.attn.{i}", "conditioning_encoder.attn.{i}"),
        Rule("{a}.{p}", "{a}.{p}"),
    ),
    drop=_STALE_MASKS,
)

_PERCEIVER = "conditioning_perceiver.layers.{i}"
XTTS = Table(
    nested="model",
    select=part("xtts"),
    rules=(
        *_CODE_GPT,
        Rule("conditioning_encoder.init.weight", "prompt_encoder.init.weight", _conv_as_linear),
        Rule("conditioning_encoder.init.bias", "prompt_encoder.init.bias"),
        *_under(_ATTENTION, "conditioning_encoder.attn.{i}", "prompt_encoder.attn.{i}"),
        Rule("conditioning_perceiver.latents", "perceiver.latents"),
        Rule(f"{_PERCEIVER}.0.to_q.weight", "perceiver.layers.{i}.q.weight"),
        Rule(f"{_PERCEIVER}.0.to_kv.weight", "perceiver.layers.{i}.kv.weight"),
        Rule(f"{_PERCEIVER}.0.to_out.weight", "perceiver.layers.{i}.out.weight"),
        Rule(f"{_PERCEIVER}.1.0.{{p}}", "perceiver.layers.{i}.widen.{p}"),
        Rule(f"{_PERCEIVER}.1.2.{{p}}", "perceiver.layers.{i}.narrow.{p}"),
        Rule("conditioning_perceiver.norm.gamma", "perceiver.norm.weight"),
        Rule("{a}.{p}", "{a}.{p}"),
    ),
    drop=_STALE_MASKS,
)


SPEAKER_ENCODER = Table(
    nested="model",
    select=part("speaker_encoder"),
    rules=(
        Rule("conv1.{p}", "conv.{p}"),
        Rule("bn1.{a}", "norm.{a}"),
        *(
            rule
            for stage in range(4)
            for rule in _under(
                (
                    Rule("conv{j}.weight", "conv{j}.weight"),
                    Rule("bn{j}.{a}", "norm{j}.{a}"),
                    Rule("se.fc.0.{p}", "squeeze.{p}"),
                    Rule("se.fc.2.{p}", "excite.{p}"),
                    Rule("downsample.{j}.{a}", "shortcut.{j}.{a}"),
                ),
                f"layer{stage + 1}.{{i}}",
                f"stages.{stage}.{{i}}",
            )
        ),
        Rule("attention.0.{p}", "attend_in.{p}"),
        Rule("attention.2.{a}", "attend_norm.{a}"),
        Rule("attention.3.{p}", "attend_out.{p}"),
        Rule("fc.{p}", "project.{p}"),
    ),
    drop=(
        Drop("{rest}.num_batches_tracked"),
        Drop("torch_spec.0.filter"),  # the constants of `audio.mel.speaker_mel`
        Drop("torch_spec.1.spectrogram.window"),
        Drop("torch_spec.1.mel_scale.fb"),
    ),
)

_RESIDUAL = (
    Rule("in_layers.0.{p}", "norm_in.{p}"),
    Rule("in_layers.2.weight", "conv_in.weight", _conv_as_linear),
    Rule("in_layers.2.bias", "conv_in.bias"),
    Rule("emb_layers.1.{p}", "embed.{p}"),
    Rule("out_layers.0.{p}", "norm_out.{p}"),
    Rule("out_layers.3.weight", "conv_out.weight", _conv_as_linear),
    Rule("out_layers.3.bias", "conv_out.bias"),
)


def _conv(theirs: str, ours: str) -> tuple[Rule, Rule]:
    """Return the rules for a Conv1d of theirs that is a TimeConv or Linear of ours."""
    return Rule(f"{theirs}.weight", f"{ours}.weight", _conv_as_linear), Rule(f"{theirs}.bias", f"{ours}.bias")


DIFFUSION = Table(
    rules=(
        *_under(_RESIDUAL, "layers.{i}", "layers.{i}"),
        *_under(_RESIDUAL, "layers.{i}.resblk", "layers.{i}.resblk"),
        *_under(_ATTENTION, "layers.{i}.attn", "layers.{i}.attn"),
        *_under(_RESIDUAL, "conditioning_timestep_integrator.{i}.resblk", "integrator.{i}.resblk"),
        *_under(_ATTENTION, "conditioning_timestep_integrator.{i}.attn", "integrator.{i}.attn"),
        *_under(_ATTENTION, "contextual_embedder.{i}", "contextual_embedder.{i}"),
        *_under(_ATTENTION, "latent_conditioner.{i}", "latent_conditioner.{i}"),
        *_under(_ATTENTION, "code_converter.{i}", "code_converter.{i}"),
        *_conv("contextual_embedder.{i}", "contextual_embedder.{i}"),
        *_conv("latent_conditioner.0", "latent_conditioner.0"),
        *_conv("inp_block", "inp_block"),
        *_conv("integrating_conv", "integrating_conv"),
        *_conv("mel_head", "mel_head"),
        *_conv("out.2", "out_conv"),
        Rule("out.0.{p}", "out_norm.{p}"),
        Rule("time_embed.{i}.{p}", "time_embed.{i}.{p}"),
        Rule("code_embedding.weight", "code_embedding.weight"),
        Rule("code_norm.{p}", "code_norm.{p}"),
        Rule("unconditioned_embedding", "unconditioned_embedding"),
    )
)


def _rotary_encoder(theirs: str, ours: str, wrap: str) -> tuple[Rule, ...]:
    """Return the rules for alternate attention and feed-forward layers; `wrap`: prefix of a layer's weights."""
    layer, own = f"{theirs}.attn_layers.layers.{{i}}", f"{ours}.layers.{{i}}"
    qkv = (f"{layer}.1.{wrap}to_q.weight", f"{layer}.1.{wrap}to_k.weight", f"{layer}.1.{wrap}to_v.weight")
    return (
        Rule(f"{layer}.0.0.g", f"{own}.norm.weight"),
        Rule(qkv, f"{own}.qkv.weight"),
        Rule(f"{layer}.1.{wrap}to_out.{{p}}", f"{own}.out.{{p}}"),
        Rule(f"{layer}.1.{wrap}net.0.proj.{{p}}", f"{own}.widen.{{p}}"),
        Rule(f"{layer}.1.{wrap}net.3.{{p}}", f"{own}.narrow.{{p}}"),
        Rule(f"{theirs}.norm.{{p}}", f"{ours}.norm.{{p}}"),
    )


CLVP = Table(
    rules=(
        *_rotary_encoder("text_transformer.transformer", "text_encoder", "wrap."),
        *_rotary_encoder("speech_transformer.transformer", "speech_encoder", "wrap."),
        Rule("temperature", "temperature"),
        Rule("{a}.weight", "{a}.weight"),
    ),
    drop=(Drop("{a}.transformer.attn_layers.rotary_pos_emb.inv_freq", _rotary_frequencies),),
)


def _tower(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        *_rotary_encoder(f"{theirs}.transformer", f"{ours}.encoder", ""),
        *_conv(f"{theirs}.pre_combiner.0", f"{ours}.combine_in"),
        *_under(_ATTENTION, f"{theirs}.pre_combiner.1", f"{ours}.attention"),
        *_conv(f"{theirs}.pre_combiner.2", f"{ours}.combine_out"),
    )


CVVP = Table(
    rules=(
        *_tower("conditioning_transformer", "mel_tower"),
        *_tower("speech_transformer", "speech_tower"),
        *_conv("cond_emb.{i}", "cond_emb.{i}"),
        Rule("speech_emb.emb.weight", "speech_emb.weight"),
        Rule("temperature", "temperature"),
        Rule("to_conditioning_latent.weight", "to_conditioning_latent.weight"),
        Rule("to_speech_latent.weight", "to_speech_latent.weight"),
    ),
    drop=(Drop("{a}.transformer.attn_layers.rotary_pos_emb.inv_freq", _rotary_frequencies),),
)

DVAE = Table(
    rules=(
        Rule("codebook.embed", "codebook", swap_last_two),
        Rule("{a}.{i}.net.0.{p}", "{a}.{i}.conv1.{p}"),
        Rule("{a}.{i}.net.2.{p}", "{a}.{i}.conv2.{p}"),
        Rule("{a}.{i}.net.4.{p}", "{a}.{i}.conv3.{p}"),
        Rule("encoder.{i}.0.{p}", "encoder.{i}.{p}"),
        Rule("decoder.{i}.0.conv.{p}", "decoder.{i}.{p}"),
        Rule("{a}.{i}.{p}", "{a}.{i}.{p}"),
    ),
    drop=(Drop("codebook.cluster_size"), Drop("codebook.embed_avg"), Drop("discrete_loss.{rest}")),
)
