"""Every kind of model, declared once: its role, configuration, class, key table and cost.

Adding one is a model file, a configuration and an entry of `COMPONENTS`; what loads, converts, measures and lists
models reads from here. Classes, tables and functions are given as dotted names "module:name", so that reading this
module imports no torch; `resolve` imports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tutortoietts.core.config_base import Config
from tutortoietts.core.config_speech import (
    AutoregressiveConfig,
    ClassifierConfig,
    ClvpConfig,
    CtcConfig,
    CvvpConfig,
    DiffusionConfig,
    DvaeConfig,
    RandomLatentConfig,
)
from tutortoietts.core.config_vocoder import (
    BigVGANConfig,
    HifiganConfig,
    StreamVocosConfig,
    UnivNetConfig,
    VocosConfig,
)
from tutortoietts.core.config_xtts import SpeakerEncoderConfig, XttsConfig
from tutortoietts.core.errors import ModelError

__all__ = ["COMPONENTS", "Component", "component", "kind_of", "kinds_of", "public_vocoders", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One kind of model.

    kind: its name, also that of its file in ``models/`` unless `cls` says otherwise. role: its place in a voice model,
    and the stem of its file in a model directory; several kinds may share a role ("vocoder", "stream_decoder").
    cls: the torch module, built from one argument, its `config`. key_table: the `weights.convert.Table` of its public
    checkpoint, None for a model that has none. macs: a function (config, frames) -> multiply-adds, for vocoders.
    public: names in `weights.registry` that the option `vocoder` takes, the default first.
    """

    kind: str
    role: str
    config: type[Config]
    cls: str
    key_table: str | None = None
    macs: str | None = None
    public: tuple[str, ...] = ()


_MODELS = "tutortoietts.models"
_TABLES = "tutortoietts.weights.tables"
_MACS = "tutortoietts.bench.limits_vocoder"

_ALL = (
    Component(
        kind="autoregressive",
        role="autoregressive",
        config=AutoregressiveConfig,
        cls=f"{_MODELS}.autoregressive:Autoregressive",
        key_table=f"{_TABLES}:AUTOREGRESSIVE",
    ),
    Component(
        kind="bigvgan",
        role="vocoder",
        config=BigVGANConfig,
        cls=f"{_MODELS}.bigvgan:BigVGAN",
        key_table=f"{_TABLES}:BIGVGAN",
        macs=f"{_MACS}:bigvgan_macs",
        public=("bigvgan_base", "bigvgan"),
    ),
    Component(
        kind="classifier",
        role="classifier",
        config=ClassifierConfig,
        cls=f"{_MODELS}.classifier:Classifier",
        key_table=f"{_TABLES}:CLASSIFIER",
    ),
    Component(
        kind="clvp",
        role="clvp",
        config=ClvpConfig,
        cls=f"{_MODELS}.clvp:Clvp",
        key_table=f"{_TABLES}:CLVP",
    ),
    Component(
        kind="ctc",
        role="ctc",
        config=CtcConfig,
        cls=f"{_MODELS}.ctc:Ctc",
    ),
    Component(
        kind="cvvp",
        role="cvvp",
        config=CvvpConfig,
        cls=f"{_MODELS}.cvvp:Cvvp",
        key_table=f"{_TABLES}:CVVP",
    ),
    Component(
        kind="diffusion",
        role="diffusion",
        config=DiffusionConfig,
        cls=f"{_MODELS}.diffusion:Diffusion",
        key_table=f"{_TABLES}:DIFFUSION",
    ),
    Component(
        kind="dvae",
        role="dvae",
        config=DvaeConfig,
        cls=f"{_MODELS}.dvae:Dvae",
        key_table=f"{_TABLES}:DVAE",
    ),
    Component(
        kind="hifigan",
        role="stream_decoder",
        config=HifiganConfig,
        cls=f"{_MODELS}.hifigan:Hifigan",
        key_table=f"{_TABLES}:HIFIGAN",
        macs=f"{_MACS}:hifigan_macs",
    ),
    Component(
        kind="random_latent",
        role="random_latent",
        config=RandomLatentConfig,
        cls=f"{_MODELS}.random_latent:RandomLatent",
        key_table=f"{_TABLES}:RANDOM_LATENT",
    ),
    Component(
        kind="speaker_encoder",
        role="speaker_encoder",
        config=SpeakerEncoderConfig,
        cls=f"{_MODELS}.speaker_encoder:SpeakerEncoder",
        key_table=f"{_TABLES}:SPEAKER_ENCODER",
    ),
    Component(
        kind="stream_vocos",
        role="stream_decoder",
        config=StreamVocosConfig,
        cls=f"{_MODELS}.stream_vocos:StreamFront",
    ),
    Component(
        kind="univnet",
        role="vocoder",
        config=UnivNetConfig,
        cls=f"{_MODELS}.univnet:UnivNet",
        key_table=f"{_TABLES}:UNIVNET",
        macs=f"{_MACS}:univnet_macs",
        public=("univnet",),
    ),
    Component(
        kind="vocos",
        role="vocoder",
        config=VocosConfig,
        cls=f"{_MODELS}.vocos:Vocos",
        macs=f"{_MACS}:vocos_macs",
    ),
    Component(
        kind="xtts",
        role="autoregressive",
        config=XttsConfig,
        cls=f"{_MODELS}.xtts:Xtts",
        key_table=f"{_TABLES}:XTTS",
    ),
)

COMPONENTS: Mapping[str, Component] = {one.kind: one for one in _ALL}
"""Kind -> its declaration."""


def component(kind: str) -> Component:
    """Return the declaration of a kind of model. Raises ModelError for an unknown kind."""
    if kind not in COMPONENTS:
        raise ModelError(f"no model of kind {kind!r}; there are {', '.join(sorted(COMPONENTS))}")
    return COMPONENTS[kind]


def kind_of(config: Config) -> str:
    """Return the kind of model that a configuration belongs to, a key of `COMPONENTS`."""
    return next(one.kind for one in COMPONENTS.values() if one.config is type(config))


def kinds_of(role: str) -> tuple[str, ...]:
    """Return the kinds of model that can take a place in a voice model, for example "vocoder"."""
    return tuple(one.kind for one in COMPONENTS.values() if one.role == role)


def public_vocoders() -> tuple[str, ...]:
    """Return the names of public checkpoints that the option `vocoder` takes, the default first."""
    return tuple(name for one in COMPONENTS.values() if one.role == "vocoder" for name in one.public)


def resolve(dotted: str) -> Any:
    """Import a dotted name "module:name" and return what it names."""
    module, _, name = dotted.partition(":")
    return getattr(import_module(module), name)
