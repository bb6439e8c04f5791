"""The pipeline from one request to sound: the only place that chains the stages.

passage --encode--> tokens --decode--> candidates --rerank--> the best --latents--> --denoise--> mel --vocode--> sound
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutortoietts.audio.mel import denormalize_mel
from tutortoietts.audio.stitch import PAUSE_SECONDS, fade, join, trim_edges
from tutortoietts.audio.stretch import stretch
from tutortoietts.core.errors import AudioError
from tutortoietts.core.presets import SpeechOptions
from tutortoietts.core.types import Codes, Mel
from tutortoietts.engine.align import align
from tutortoietts.engine.decoding.latents import latents_of
from tutortoietts.engine.decoding.loop import decode, decode_incrementally
from tutortoietts.engine.decoding.model import CodeModel
from tutortoietts.engine.decoding.request import DecodeRequest
from tutortoietts.engine.decoding.scheduler import SharedBatch
from tutortoietts.engine.decoding.workspace import Workspaces
from tutortoietts.engine.denoise import Unconditioned, denoise, streamed_mel
from tutortoietts.engine.faults import FAULTS, code_fault, sound_fault
from tutortoietts.engine.progress import Progress
from tutortoietts.engine.redact import LETTER_SECONDS, Cut, cut_spans, heard_seconds, kept_spans, redact
from tutortoietts.engine.request import Request
from tutortoietts.engine.rerank import Candidate, Ranker, best
from tutortoietts.engine.streaming.turns import Listener
from tutortoietts.engine.vocode import vocode_all
from tutortoietts.models.autoregressive import Autoregressive
from tutortoietts.models.clvp import Clvp
from tutortoietts.models.ctc import Ctc
from tutortoietts.models.cvvp import Cvvp
from tutortoietts.models.diffusion import Diffusion
from tutortoietts.models.stream_vocos import StreamFront
from tutortoietts.models.xtts import at_speed
from tutortoietts.runtime.memory import bytes_a_candidate, pick_batch_size
from tutortoietts.runtime.models import LoadedModels
from tutortoietts.runtime.source import PUBLIC
from tutortoietts.sampling.rows import mix_seed, row_generators
from tutortoietts.sampling.tokens import TokenOptions
from tutortoietts.text.brackets import Passage

__all__ = [
    "NOTHING_LEFT",
    "DrawnPassage",
    "EncodedPassage",
    "Pipeline",
    "Placed",
    "SpokenPassage",
    "token_options",
    "warn_of_fault",
]

NOTHING_LEFT = "nothing is left to hear: leave more of the text outside [brackets]"
_DECODE, _DENOISE, _VOCODE, _REDRAW = range(4)  # what a seed is used for

_log = logging.getLogger(__name__)

Spans = Sequence[Cut]
"""What is cut from a sound."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedPassage:
    """A passage as the models see it.

    text (1, T) int64 on the working device, with its stop token. ends: tokens up to the end of each piece;
    hidden: whether the piece is cut from the sound. seed: of this passage. number: which of the request it is.
    """

    number: int
    passage: Passage
    text: Tensor
    ends: Sequence[int]
    hidden: Sequence[bool]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnPassage:
    """A passage whose codes are drawn: its k best candidates, best first, any of which can be made sound."""

    encoded: EncodedPassage
    work: DecodeRequest
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpokenPassage:
    """One result of a passage.

    samples (..., L): float32 on the CPU, at the request's speed. codes (1, S): those it was made from, without stop
    codes.
    kept: (start, end) seconds of the whole sound, at speed 1, that are left in `samples`; None: all.
    fault: one of `engine.faults.FAULTS`, or None.
    finished: the model ended by itself; else its end may be cut off.
    """

    encoded: EncodedPassage
    samples: Tensor
    codes: Tensor
    kept: Sequence[tuple[float, float]] | None = None
    fault: str | None = None
    finished: bool = True


class Placed(NamedTuple):
    """A passage in the joined sound: the seconds start..end of its samples begin there at the second `at`."""

    spoken: SpokenPassage
    start: float
    end: float
    at: float


class Pipeline:
    """Speak one request. Nothing is kept between requests but what `models`, `workspaces` and `shared_batch` hold."""

    def __init__(
        self,
        models: LoadedModels,
        request: Request,
        progress: Progress,
        workspaces: Workspaces | None = None,
        shared_batch: SharedBatch | None = None,
    ) -> None:
        self.models, self.request, self.progress = models, request, progress
        self.workspaces = workspaces or Workspaces()
        self.family = request.family
        mels = len(request.passages) * request.k
        self.shared_batch = shared_batch if request.kv_cache else None
        self.unconditioned = Unconditioned() if mels > 1 else None

    def whole(self) -> list[tuple[Tensor, list[Placed]]]:
        """Return the k results of the whole text, best first: samples (1, 1, L) and the passages in them.

        The j-th result joins the j-th best of every passage. Raise AudioError if nothing is left to hear.
        """
        spoken = list(self.passages())
        return [self.joined([candidates[number] for candidates in spoken]) for number in range(self.request.k)]

    def joined(self, spoken: Sequence[SpokenPassage]) -> tuple[Tensor, list[Placed]]:
        """Return one result of the whole text from one of each passage, as `whole` does."""
        rate, at = self.family.sample_rate, 0
        heard = [one for one in spoken if one.samples.shape[-1] > 0]
        if not heard:
            raise AudioError(NOTHING_LEFT)
        placed = []
        for one in heard:
            whole = 0, one.samples.shape[-1]
            start, end = trim_edges(one.samples, rate) if len(heard) > 1 else whole
            placed.append(Placed(one, start / rate, end / rate, at / rate))
            at += end - start + round(PAUSE_SECONDS * rate)
        return join([one.samples for one in heard], rate), placed

    def passages(self) -> Iterator[list[SpokenPassage]]:
        """Yield the k results of each passage in turn. All components are loaded before any work."""
        self.load()
        for number in range(len(self.request.passages)):
            yield self.speak(number)

    def load(self) -> None:
        """Load the components that the request needs. Raise ModelError, FetchError, OptionError."""
        request = self.request
        with self.progress.stage("load"):
            self.models.load(self.family.components(self.models, request.options, streamed=request.from_latents))

    def speak(self, number: int) -> list[SpokenPassage]:
        """Return the k best results of one passage, best first. Each stage works on all of them before the next one."""
        if self.request.from_latents:
            return [self.paced(self._speak_from_latents(number))]
        with self.models.use("autoregressive"):
            drawn = self.draw(number)
            taken = self._taken(drawn, drawn.candidates)
        return self._rendered(drawn, drawn.candidates, taken)

    def draw(self, number: int) -> DrawnPassage:
        """Draw and rank the candidates of one passage."""
        encoded = self.encode(number)
        with self.models.use("autoregressive") as module:
            model = cast(Autoregressive, module)
            work = self.decode_request(model, encoded)
            chosen = self._candidates(model, work, encoded)
        self._warn_if_cut_off(work, encoded, finished=chosen[0].finished)
        return DrawnPassage(encoded=encoded, work=work, candidates=chosen)

    def render(self, drawn: DrawnPassage, candidate: Candidate) -> SpokenPassage:
        """Return one of the candidates of a passage as sound."""
        (spoken,) = self._rendered(drawn, [candidate], self._taken(drawn, [candidate]))
        return spoken

    def _taken(self, drawn: DrawnPassage, candidates: Sequence[Candidate]) -> list[tuple[Tensor, Spans]]:
        """Return the latents (1, S, D) of candidates, each with the spans to cut from its sound."""
        retry = self.workspaces.retry_without_idle_buffers
        with self.models.use("autoregressive"):
            self.models.prepare(self._mel_model)
            return [retry(partial(self._latents, drawn.work, drawn.encoded, candidate)) for candidate in candidates]

    def _rendered(
        self, drawn: DrawnPassage, candidates: Sequence[Candidate], taken: Sequence[tuple[Tensor, Spans]]
    ) -> list[SpokenPassage]:
        models, retry, encoded = self.models, self.workspaces.retry_without_idle_buffers, drawn.encoded
        seeds = [mix_seed(encoded.seed, candidate.row) for candidate in candidates]
        with models.use(self._mel_model):
            models.prepare("vocoder")
            mels = [retry(partial(self._mel, latents, own)) for (latents, _), own in zip(taken, seeds, strict=True)]
        waves = retry(partial(self._waves, mels, seeds, more=encoded.number + 1 < len(self.request.passages)))
        return [
            self.paced(self.spoken(encoded, wave, candidate.codes, cut))
            for wave, candidate, (_, cut) in zip(waves, candidates, taken, strict=True)
        ]

    def encode(self, number: int) -> EncodedPassage:
        """Tokenize passage `number` of the request."""
        passage, total = self.request.passages[number], len(self.request.passages)
        self.progress.prefix = f"{number + 1}/{total} " if total > 1 else ""
        pieces = passage.pieces()
        tokenizer = self.models.tokenizer_for(self.request.language, spoken=self.request.normalize)
        tokens, ends = tokenizer.encode_parts([piece for piece, _ in pieces])
        return EncodedPassage(
            number=number,
            passage=passage,
            text=F.pad(tokens.ids, (0, self.family.end_tokens)).to(self.models.device),
            ends=ends,
            hidden=[hidden for _, hidden in pieces],
            seed=mix_seed(self.request.seed, number),
        )

    @torch.inference_mode()
    def decode_request(self, model: nn.Module, encoded: EncodedPassage) -> DecodeRequest:
        """Return the codes to draw for a passage, by the autoregressive model in use."""
        models, options = self.models, self.request.options
        prefix = self.family.prefix(model, self.request.voice, encoded.text)
        most = self.family.most_codes(encoded.passage.text, self.request.language, options.max_mel_tokens)
        most = max(most, options.min_mel_tokens)
        candidates, positions = options.num_autoregressive_samples, prefix.shape[1] + most
        dtype = models.dtype_of("autoregressive")
        cache_dtype = torch.bfloat16 if models.precision.weights else dtype
        size = bytes_a_candidate(models.spec.autoregressive, positions, cache_dtype, dtype)
        fixed, reusable = models.cuda_graphs, self.workspaces.idle_bytes if models.cuda_graphs else 0
        return DecodeRequest(
            prefix=prefix,
            generators=row_generators(encoded.seed, candidates, _DECODE),
            max_codes=most,
            min_codes=options.min_mel_tokens,
            options=token_options(options),
            silence_code=models.spec.calm_token,
            latent_of_stop=self.family.latent_of_stop,
            batch_size=self.request.batch_size
            or pick_batch_size(size, models.device, candidates, reusable=reusable, fixed=fixed),
            cached=self.request.kv_cache,
            on_step=partial(self.progress.step, "codes"),
            fixed=fixed,
            workspaces=None if models.offload else self.workspaces,  # captured steps know where the weights lie
        )

    def decode(self, model: nn.Module, work: DecodeRequest) -> Iterator[Codes]:
        """Draw the candidates, in the batch that requests share if there is one."""
        draw = decode if self.shared_batch is None else self.shared_batch.decode
        return draw(cast(CodeModel, model), work)

    def decode_incrementally(self, model: nn.Module, work: DecodeRequest) -> Iterator[Codes]:
        """Draw one candidate and yield it while it grows, in the shared batch if there is one."""
        draw = decode_incrementally if self.shared_batch is None else self.shared_batch.decode_incrementally
        return draw(cast(CodeModel, model), work)

    def listener(self) -> AbstractContextManager[Listener]:
        """Return the listener of this stream, who takes turns with those of others in the shared batch."""
        return nullcontext(Listener()) if self.shared_batch is None else self.shared_batch.turns.listener()

    def cut_of(self, model: nn.Module, encoded: EncodedPassage, codes: Codes) -> Spans:
        """Return the spans of hidden pieces in the sound of one candidate; row 0 of `codes`."""
        if not any(encoded.hidden):
            return ()
        length = int(codes.lengths[0])
        speaker = self.request.voice.speaker.to(self.models.device, self.models.dtype_of("autoregressive"))
        spec, code = self.models.spec.alignment, self.family.code_seconds
        aligned = align(cast(Autoregressive, model), speaker, encoded.text, codes.ids[:, :length], spec.heads)
        total, bias = length * code, 0.0 if aligned.path is None else spec.bias_seconds
        begins = [min(max(place * code - bias, 0.0), total) for place in aligned.begins.tolist()]
        begins = [0.0, *begins[1:-1], total]
        letters = self.models.tokenizer.letters(encoded.text[0].tolist())
        cuts = cut_spans(begins, letters, encoded.ends, encoded.hidden)
        self._warn_if_too_short(encoded, heard_seconds(cuts, total), letters)
        return cuts

    def _warn_if_too_short(self, encoded: EncodedPassage, seconds: float, letters: Sequence[int]) -> None:
        begin, count = 0, 0
        for end, hidden in zip(encoded.ends, encoded.hidden, strict=True):
            count += 0 if hidden else sum(letters[begin:end])
            begin = end
        if seconds < LETTER_SECONDS * count:
            _log.warning(
                "what is outside [brackets] in %r lasts only %.2f s, too short for its %d letters: give another seed",
                encoded.passage.text[:60],
                seconds,
                count,
            )

    def spoken(self, encoded: EncodedPassage, wave: Tensor, codes: Codes, cut: Spans) -> SpokenPassage:
        """Return a result of a passage from its full sound (..., L), without the spans `cut`."""
        ids, rate = codes.ids[:1, : int(codes.lengths[0])], self.family.sample_rate
        finished = bool(codes.finished[0])
        if not cut:
            return SpokenPassage(encoded=encoded, samples=wave, codes=ids, finished=finished)
        kept = kept_spans(wave, cut, rate)
        return SpokenPassage(encoded=encoded, samples=redact(wave, cut, rate), codes=ids, kept=kept, finished=finished)

    def ended(self, wave: Tensor) -> Tensor:
        """Return the last sound (N,) of a passage, faded where the family says so."""
        return fade(wave, self.family.sample_rate, seconds_in=0.0) if self.family.fades_end else wave

    def paced(self, spoken: SpokenPassage) -> SpokenPassage:
        """Return the passage at the request's speed, by stretching its sound."""
        options, samples = self.request.options, spoken.samples
        if options.speed == 1.0 or options.speed_rule != "stretch":
            return spoken
        wave = stretch(samples.flatten(), self.family.sample_rate, options.speed)
        return replace(spoken, samples=wave.view(*samples.shape[:-1], -1))

    def _speak_from_latents(self, number: int) -> SpokenPassage:
        """Return a passage drawn without fault, or after the last of the redraws the first of those with the least."""
        encoded, best_so_far = self.encode(number), None
        for attempt in range(self.request.options.redraws + 1):
            self.progress.redraws += 1 if attempt else 0
            seed = mix_seed(encoded.seed, _REDRAW, attempt) if attempt else encoded.seed
            spoken = self._attempt(replace(encoded, seed=seed))
            if best_so_far is None or _severity(spoken) < _severity(best_so_far):
                best_so_far = spoken
            if spoken.fault is None:
                break
            self.progress.faults[spoken.fault] += 1
        assert best_so_far is not None
        warn_of_fault(best_so_far.fault, encoded.passage.text)
        return best_so_far

    def fault_of(self, work: DecodeRequest, encoded: EncodedPassage, codes: Codes) -> str | None:
        """Return the fault of a candidate's codes; row 0 of `codes`. A forced number of codes is no fault."""
        forced = work.min_codes >= work.max_codes
        least = 0 if work.min_codes else self.family.least_codes(encoded.passage.text, self.request.language)
        drawn = codes.ids[0, : int(codes.lengths[0])]
        return code_fault(drawn, finished=forced or bool(codes.finished[0]), least=0 if forced else least)

    def _attempt(self, encoded: EncodedPassage) -> SpokenPassage:
        """Return a passage whose sound is made straight from the latents of one candidate."""
        from tutortoietts.engine.streaming.decoder import stream_decoder
        from tutortoietts.engine.streaming.windows import decode_whole

        models, options = self.models, self.request.options
        with models.use("autoregressive") as module:
            model = cast(CodeModel, module)
            work = self.decode_request(module, encoded)
            with self.progress.stage("codes"):
                (codes,) = self.decode(module, work)
            with self.progress.stage("latents"):
                latents = latents_of(model, work, codes, 0, options.calm_rule)
                if options.speed_rule == "latents" and latents.shape[1] > 1:
                    latents = at_speed(latents, options.speed)
                cut = self.cut_of(module, encoded, codes)
        speaker = self.family.sound_speaker(self.request.voice).to(models.device)
        with self.progress.stage("decoder"), stream_decoder(models) as decoder:
            wave = self.ended(decode_whole(decoder, latents, speaker).cpu().clone())
        spoken = self.spoken(encoded, wave.view(1, 1, -1), codes, cut)
        if self._ranks:
            self._warn_if_cut_off(work, encoded, finished=bool(codes.finished[0]))
            return spoken
        return replace(spoken, fault=self.fault_of(work, encoded, codes) or sound_fault(wave, self.family.sample_rate))

    def _candidates(self, model: Autoregressive, work: DecodeRequest, encoded: EncodedPassage) -> list[Candidate]:
        """Return the k best candidates; others are forgotten batch by batch."""
        kept: list[Candidate] = []
        seen = 0
        with ExitStack() as stack:
            components = self.family.components(self.models, self.request.options, streamed=False)
            ranking = {name: stack.enter_context(self.models.use(name)) for name in components if name in _RANKING}
            with self.progress.stage("ranking"):
                ranker = self._ranker(work, encoded, ranking)
            batches = stack.enter_context(closing(self.decode(model, work)))  # type: ignore[type-var]
            while seen < len(work.generators):
                with self.progress.stage("codes"):
                    codes = next(batches)
                with self.progress.stage("ranking"):
                    kept = best([*kept, *ranker.candidates(codes, seen)], self.request.k)
                seen += len(codes.ids)
        return kept

    def _ranker(self, work: DecodeRequest, encoded: EncodedPassage, ranking: Mapping[str, nn.Module]) -> Ranker:
        models, mels = self.models, self.request.mels
        return Ranker(
            cast("Clvp | None", ranking.get("clvp")),
            encoded.text,
            stop_token=models.spec.autoregressive.stop_mel_token,
            silence_code=models.spec.calm_token,
            pad_to=work.max_codes if models.spec.name == PUBLIC else None,
            ctc=cast("Ctc | None", ranking.get("ctc")),
            cvvp=cast("Cvvp | None", ranking.get("cvvp")),
            mels=None if mels is None else mels.to(models.device, models.dtype),
            cvvp_amount=self.request.options.cvvp_amount,
        )

    def _latents(self, work: DecodeRequest, encoded: EncodedPassage, candidate: Candidate) -> tuple[Tensor, Spans]:
        """Return one candidate's latents (1, S, D), and the spans to cut from its sound."""
        with self.progress.stage("latents"), self.models.use("autoregressive") as module:
            model = cast(Autoregressive, module)
            latents = latents_of(model, work, candidate.codes, 0, self.request.options.calm_rule)
            return latents, self.cut_of(model, encoded, candidate.codes)

    @property
    def _ranks(self) -> bool:
        """True if a passage may have several candidates."""
        return "rerank" in self.family.stages

    def _warn_if_cut_off(self, work: DecodeRequest, encoded: EncodedPassage, *, finished: bool) -> None:
        if not finished and work.min_codes < work.max_codes:
            _log.warning(
                "no candidate of %r ended within %d codes, so its end may be cut off: draw more candidates "
                "(num_autoregressive_samples), raise max_mel_tokens or shorten the text",
                encoded.passage.text[:60],
                work.max_codes,
            )

    @property
    def _mel_model(self) -> str:
        """Name of the component that makes the mel, or completes it."""
        return "diffusion" if self.request.options.diffuses else "stream_decoder"

    def _mel(self, latents: Tensor, seed: int) -> Mel:
        models, options, first = self.models, self.request.options, None
        if options.diffusion_start == "streamed":
            with self.progress.stage("decoder"), models.use("stream_decoder") as module:
                speaker = self.request.voice.speaker.to(models.device)
                first = streamed_mel(cast(StreamFront, module), latents, speaker)
            if not options.diffuses:
                return Mel(values=denormalize_mel(first))
        conditioning = cast(Tensor, self.request.voice.diffusion).to(models.device, models.dtype)
        generator = torch.Generator().manual_seed(mix_seed(seed, _DENOISE))
        with self.progress.stage("diffusion") as on_step, models.use("diffusion") as module:
            model, shared = cast(Diffusion, module), self.unconditioned
            return denoise(
                model, latents, conditioning, options, generator, on_step=on_step, unconditioned=shared, first=first
            )

    def _waves(self, mels: Sequence[Mel], seeds: Sequence[int], *, more: bool) -> list[Tensor]:
        """Turn mels into samples (1, 1, L) on the CPU. more: another passage follows."""
        generators = [torch.Generator().manual_seed(mix_seed(seed, _VOCODE)) for seed in seeds]
        with self.progress.stage("vocoder"), self.models.use("vocoder") as module:
            if more:
                self.models.prepare("autoregressive")
            return [audio.samples.cpu().clone() for audio in vocode_all(module, mels, generators)]


_RANKING = ("clvp", "ctc", "cvvp")
_SAID = {
    "silent": "its sound is silent for seconds",
    "repeated": "the same is said again",
    "short": "it is too short for its text",
    "unfinished": "it did not end within the codes it may have, so its end may be cut off",
}


def warn_of_fault(fault: str | None, text: str) -> None:
    """Warn of the fault of a passage that is given in spite of it."""
    if fault is not None:
        _log.warning("%r: %s: give another seed or shorten the text", text[:60], _SAID[fault])


def _severity(spoken: SpokenPassage) -> int:
    return -1 if spoken.fault is None else FAULTS.index(spoken.fault)


def token_options(options: SpeechOptions) -> TokenOptions:
    """Return the options that drawing codes looks at."""
    return TokenOptions(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        repetition_penalty=options.repetition_penalty,
    )
