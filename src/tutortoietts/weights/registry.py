"""Registry of the public files that the package can use: kind, sources, local names, digest, purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from tutortoietts.core.config import CONFIGS, Config
from tutortoietts.core.errors import ModelError
from tutortoietts.core.licences import APACHE, CPML, MIT, Licence

__all__ = ["PUBLIC_FILES", "REGISTRY", "XTTS_RELEASE", "HubFile", "PublicFile", "WebFile", "lookup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a Hugging Face repository; revision None: its main branch."""

    repo: str
    path: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"https://huggingface.co/{self.repo}/resolve/{self.revision or 'main'}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFile:
    """A file at a fixed address."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicFile:
    """One public file.

    kind: a model's kind (``core.components.COMPONENTS``), "tokenizer" or "mel_norms"; settings: its configuration where
    it differs from the kind's defaults; sources: tried in this order; local_names: names that it may have in a folder
    of models; sha256: None where it is not known; size: bytes, where known; licence: whose terms it comes under.
    """

    name: str
    kind: str
    sources: tuple[HubFile | WebFile, ...]
    local_names: tuple[str, ...]
    megabytes: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None
    size: int | None = None
    licence: Licence = APACHE

    def config(self) -> Config:
        """Return the configuration of the model in this file. Raises ModelError for a file that holds no model."""
        if self.kind not in CONFIGS:
            raise ModelError(f"{self.name} is a {self.kind} file, not a model")
        return CONFIGS[self.kind].from_dict(self.settings)


_MANMAY = "Manmay/tortoise-tts"
_JBETKER = "jbetker/tortoise-tts-v2"
_DATA = "https://raw.githubusercontent.com/neonbjb/tortoise-tts/8a2563ecabe93c4fb626f876dd0c52c966edef2f/tortoise/data"
_BIGVGAN_LARGE = {
    "upsample_rates": [4, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 1536,
}


def _tortoise(name: str, file: str, kind: str, megabytes: float, **settings: int) -> PublicFile:
    sources = (HubFile(repo=_MANMAY, path=file), HubFile(repo=_JBETKER, path=f".models/{file}"))
    return PublicFile(
        name=name, kind=kind, sources=sources, local_names=(file,), megabytes=megabytes, settings=settings
    )


def _bigvgan(name: str, repo: str, megabytes: float, settings: Mapping[str, Any]) -> PublicFile:
    """Return a file of BigVGAN. All three have one name on the Hub: in a folder of models each needs its own."""
    return PublicFile(
        name=name,
        kind="bigvgan",
        sources=(HubFile(repo=f"nvidia/{repo}", path="bigvgan_generator.pt"),),
        local_names=(f"{repo}.pt", f"{repo}_g.pth", f"{repo}/bigvgan_generator.pt"),
        megabytes=megabytes,
        settings=settings,
        licence=MIT,
    )


_FILES = (
    _tortoise("autoregressive", "autoregressive.pth", "autoregressive", 1716),
    _tortoise("diffusion", "diffusion_decoder.pth", "diffusion", 1169),
    _tortoise("clvp", "clvp2.pth", "clvp", 976),
    _tortoise("cvvp", "cvvp.pth", "cvvp", 151),
    _tortoise("univnet", "vocoder.pth", "univnet", 60),
    _tortoise("random_latent_auto", "rlg_auto.pth", "random_latent", 25, channels=1024),
    _tortoise("random_latent_diffusion", "rlg_diffuser.pth", "random_latent", 101, channels=2048),
    _tortoise("classifier", "classifier.pth", "classifier", 61),
    PublicFile(
        name="hifigan",
        kind="hifigan",
        sources=(HubFile(repo=_MANMAY, path="hifidecoder.pth"),),
        local_names=("hifidecoder.pth",),
        megabytes=72,
    ),
    _bigvgan("bigvgan_base", "bigvgan_base_24khz_100band", 56, {}),
    _bigvgan("bigvgan_large", "bigvgan_24khz_100band", 450, _BIGVGAN_LARGE),
    _bigvgan(
        "bigvgan",
        "bigvgan_v2_24khz_100band_256x",
        450,
        {**_BIGVGAN_LARGE, "use_tanh_at_final": False, "use_bias_at_final": False},
    ),
    PublicFile(
        name="tokenizer",
        kind="tokenizer",
        sources=(WebFile(url=f"{_DATA}/tokenizer.json"),),
        local_names=("tokenizer.json", "tortoise_tokenizer.json"),
        megabytes=0.02,
        sha256="d1fa6e9b4741bb75b284331b833347c166ba8b0518e187f7370f123149ed87bb",
    ),
    PublicFile(
        name="mel_norms",
        kind="mel_norms",
        sources=(WebFile(url=f"{_DATA}/mel_norms.pth"),),
        local_names=("mel_norms.pth",),
        megabytes=0.001,
        sha256="1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c",
    ),
)

REGISTRY: Mapping[str, PublicFile] = MappingProxyType({file.name: file for file in _FILES})
"""Name -> file. The names that are model kinds hold the usual model of that kind."""


def _xtts(name: str, path: str, kind: str, size: int, sha256: str | None = None) -> PublicFile:
    return PublicFile(
        name=name,
        kind=kind,
        sources=(HubFile(repo="coqui/XTTS-v2", path=path, revision="v2.0.3"),),
        local_names=(f"xtts-v2/{path}", f"XTTS-v2/{path}"),
        megabytes=round(size / 1e6, 3),
        size=size,
        sha256=sha256,
        licence=CPML,
    )


XTTS_RELEASE: Mapping[str, PublicFile] = MappingProxyType(
    {
        "model": _xtts(
            "xtts", "model.pth", "xtts", 1867929118, "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187"
        ),
        "config": _xtts("xtts_config", "config.json", "configuration", 4368),
        "vocabulary": _xtts(
            "xtts_vocabulary",
            "vocab.json",
            "tokenizer",
            361219,
            "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a",
        ),
        "voices": _xtts(
            "xtts_voices",
            "speakers_xtts.pth",
            "voices",
            7754818,
            "f0f6137c19a4eab0cbbe4c99b5babacf68b1746e50da90807708c10e645b943b",
        ),
    }
)
"""The files of XTTS-v2 2.0.3, by what they are; the model's file holds three models. See `weights.xtts`."""


PUBLIC_FILES: Mapping[str, PublicFile] = MappingProxyType(
    {**REGISTRY, **{file.name: file for file in XTTS_RELEASE.values()}}
)
"""Name -> file, of both families."""


def lookup(name: str) -> PublicFile:
    """Return the file of this name. Raises ModelError that suggests the nearest one."""
    if name in PUBLIC_FILES:
        return PUBLIC_FILES[name]
    near = get_close_matches(name, PUBLIC_FILES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ModelError(f"no public file named {name!r}; {hint}there are {', '.join(PUBLIC_FILES)}")
