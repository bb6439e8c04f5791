"""Options of speaking: each declares its default, limits and help once, in its field.

The checks, the command line, `SpeechOptionsDict` and the table in docs/presets.md follow from it, or are tested against
it. An option that is added to `SpeechOptions` needs an entry in `SpeechOptionsDict` and nothing else.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypedDict

from tutortoietts.core.errors import OptionError
from tutortoietts.core.samplers import SAMPLERS, SPACINGS

__all__ = ["SPEECH", "Option", "SpeechOptions", "SpeechOptionsDict", "check", "declared", "option", "plain_number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Declaration of one option.

    type: of its value, None aside. default: its value where none is given. help: one line. details: more, for the
    documentation. range: least and greatest value. choices: values that it can have; None stands for "decide yourself".
    limits: the range in words, where numbers alone would mislead. streamed: honoured by a stream from latents.
    """

    type: type[Any]
    default: Any
    help: str
    details: str = ""
    range: tuple[float, float] | None = None
    choices: tuple[str | None, ...] | None = None
    limits: str | None = None
    streamed: bool = False

    @property
    def limits_text(self) -> str:
        """Limits in words: "0 to 1", "noise, regressed", or nothing for a switch."""
        if self.limits is not None:
            return self.limits
        if self.choices is not None:
            return ", ".join(choice for choice in self.choices if choice is not None)
        return "" if self.range is None else " to ".join(f"{bound:g}" for bound in self.range)


def option(default: Any, text: str, *, type: type[Any] | None = None, **rest: Any) -> Any:
    """Return a dataclass field with this default that declares an `Option`; `rest`: its further fields."""
    kind = type or default.__class__
    return field(default=default, metadata={"option": Option(type=kind, default=default, help=text, **rest)})


def declared(cls: type[Any]) -> dict[str, Option]:
    """Return the options that a dataclass declares, by the names of their fields."""
    return {item.name: item.metadata["option"] for item in dataclasses.fields(cls) if "option" in item.metadata}


def plain_number(value: Any, *, integer: bool) -> Any:
    """Return a number of another library (a numpy integer or float, a tensor of one number), or a whole float where an
    `integer` is meant, as Python's int or float; any other value unchanged."""
    if isinstance(value, bool | str | bytes | int) or value is None:
        return value
    if hasattr(value, "__index__"):
        with suppress(TypeError):
            return operator.index(value)
    if not hasattr(value, "__float__"):
        return value
    with suppress(TypeError, ValueError, RuntimeError):
        number = float(value)
        if not integer:
            return number
        if number.is_integer():
            return int(number)
    return value


def check(name: str, value: object, option: Option) -> None:
    """Raise OptionError, naming value and limit, for a value that the option cannot have."""
    if option.choices is not None:
        _check_choice(name, value, option.choices)
    elif option.range is not None:
        _check_number(name, value, option.range, integer=option.type is int)
    elif not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}, must be True or False")


def _check_choice(name: str, value: object, choices: tuple[str | None, ...]) -> None:
    if value in choices:
        return
    near = get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"{name} is {value!r}, must be one of {', '.join(map(repr, choices))}{hint}")


def _check_number(name: str, value: object, limits: tuple[float, float], *, integer: bool) -> None:
    low, high = limits
    kind = "an integer" if integer else "a number"
    fits = isinstance(value, int if integer else int | float) and not isinstance(value, bool)
    if not fits or value != value or abs(value) == math.inf:  # type: ignore[arg-type]
        raise OptionError(f"{name} is {value!r}, must be {kind} of {low:g}..{high:g}")
    if not low <= value <= high:  # type: ignore[operator]
        raise OptionError(f"{name} is {_shown(value)}, outside {low:g}..{high:g}")  # type: ignore[arg-type]


def _shown(value: float) -> str:
    if abs(value) >= 1e300:
        return "enormous"
    return str(value) if isinstance(value, int) and abs(value) < 1e15 else f"{value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """Tuning arguments of `tts`. The defaults are the common settings of the original Tortoise.

    Drawing codes: `num_autoregressive_samples` candidates are drawn with `repetition_penalty`, `temperature`, `top_k`
    (0: off) and `top_p`, each of at least `min_mel_tokens` and at most `max_mel_tokens` codes (21.5 a second).
    `length_penalty` is accepted and has no effect. `cvvp_amount` 0..1 is the weight of CVVP in the ranking.
    Making the mel: `diffusion_iterations` steps of `sampler`, placed by `diffusion_spacing` (None: the sampler's best).
    `cond_free` guides with strength `cond_free_k` at the trained steps from `cond_free_from` (3999 is the noisiest)
    down to `cond_free_to`. `diffusion_temperature` scales the initial noise. `diffusion_start` "regressed" begins from
    the diffusion model's own estimate of the mel, "streamed" from the streaming decoder's, noised to trained step
    `diffusion_start_step`; with 0 iterations that estimate is the result.
    `redraws`: how often a passage with a fault (`engine.faults`) is drawn again, where one candidate is drawn and none
    ranked. `speed`: of the speech; `speed_rule`: by stretching the sound ("stretch") or its latents ("latents").
    `calm_rule`: where a long run of the silence code ends the speech: "after_stop" only, or "anywhere" as in the
    original, which also cuts speech after a long pause. `latent_averaging_mode`: how clips become a voice (0: one crop
    per clip, 1: all crops of all clips, 2: the mean per clip).
    Raises OptionError for a value outside its limits and for values that contradict each other.
    """

    num_autoregressive_samples: int = option(
        512, "Number of candidates to draw; the one that says the text best is kept.", range=(1, 4096)
    )
    temperature: float = option(
        0.8, "Sampling temperature. Lower is more stable and more monotone.", range=(0.01, 10.0), streamed=True
    )
    length_penalty: float = option(
        1.0,
        "Accepted for compatibility; has no effect (only beam search would use it).",
        range=(-100.0, 100.0),
        streamed=True,
    )
    repetition_penalty: float = option(
        2.0, "Penalty on codes that were already drawn; 1 is none.", range=(0.1, 20.0), streamed=True
    )
    top_p: float = option(
        0.8,
        "Nucleus sampling: keep the most likely codes up to this total probability.",
        range=(1e-6, 1.0),
        limits="above 0, up to 1",
        streamed=True,
    )
    top_k: int = option(
        50,
        "Draw from this many of the most likely codes; 0 is all.",
        details="The default, 50, is the original's, which no preset of its shows.",
        range=(0, 1_000_000),
        limits="from 0",
        streamed=True,
    )
    min_mel_tokens: int = option(
        0,
        "Minimum length of a passage, in codes (21.5 a second).",
        details="Where it equals `max_mel_tokens`, exactly that many are drawn.",
        range=(0, 100_000),
        limits="from 0",
        streamed=True,
    )
    max_mel_tokens: int = option(
        500,
        "Maximum length of a passage, in codes (21.5 a second).",
        range=(1, 100_000),
        limits="up to the model's limit",
        streamed=True,
    )
    cvvp_amount: float = option(
        0.0,
        "Weight of CVVP in the ranking of candidates.",
        details="Needs reference clips and the public CVVP model.",
        range=(0.0, 1.0),
    )
    diffusion_iterations: int = option(
        100,
        "Number of diffusion steps.",
        details='0 is possible with `diffusion_start="regressed"` and `"streamed"` only.',
        range=(0, 4000),
    )
    cond_free: bool = option(
        True, "Guide the diffusion by an estimate without conditioning: two forward passes a step, in one batch."
    )
    cond_free_k: float = option(2.0, "Strength of the guidance.", range=(0.0, 100.0))
    cond_free_from: int = option(
        3999,
        "Trained step at which guidance begins; 3999 is the noisiest.",
        details="Outside the interval a step is one forward pass. Refused where `cond_free` is off.",
        range=(0, 3999),
    )
    cond_free_to: int = option(
        0,
        "Trained step at which guidance ends.",
        details="Refused where `cond_free` is off.",
        range=(0, 3999),
    )
    diffusion_temperature: float = option(1.0, "Scale of the initial noise.", range=(0.0, 10.0))
    sampler: str = option(
        "ancestral", "Diffusion sampler.", details="`ancestral` is the original's.", choices=tuple(SAMPLERS)
    )
    diffusion_spacing: str | None = option(
        None,
        "Placement of the diffusion steps; the sampler's best unless given.",
        type=str,
        choices=(None, *SPACINGS),
    )
    diffusion_start: str = option(
        "noise",
        "Start the diffusion from noise, or from an estimate of the mel, noised again: the diffusion model's own "
        "(`regressed`), or the streaming decoder's (`streamed`).",
        details="`streamed` is for models with a small streaming decoder, as the bundled one is. No preset for the "
        "public checkpoints starts from an estimate: how good theirs is has not been measured.",
        choices=("noise", "regressed", "streamed"),
    )
    diffusion_start_step: int = option(
        1000,
        "Trained step to which the estimate is noised again.",
        details="Refused where `diffusion_start` is `noise`.",
        range=(0, 3999),
    )
    redraws: int = option(
        0,
        "Number of times to draw a passage again that has a fault: wrong length, repetition, silence.",
        details="For models that draw one candidate; `xtts-v2` takes 2. A stream cannot take back what was heard.",
        range=(0, 20),
        streamed=True,
    )
    speed: float = option(
        1.0,
        "Speed of the speech, at the same pitch.",
        range=(0.5, 2.0),
        streamed=True,
    )
    speed_rule: str = option(
        "stretch",
        "Way to another speed: stretch the sound, or the latents that it is made from.",
        details="`latents` is the rule of the original XTTS, which smears fast and slow speech. It is refused where "
        "sound is made by diffusion, and for [bracketed] text.",
        choices=("stretch", "latents"),
        streamed=True,
    )
    calm_rule: str = option(
        "after_stop",
        "Rule for ending the speech at a long run of the silence code.",
        details="`anywhere` is the original's, and also cuts speech after a long pause.",
        choices=("after_stop", "anywhere"),
        streamed=True,
    )
    latent_averaging_mode: int = option(
        0,
        "Latents of a voice from its clips: 0 one crop per clip, 1 all crops of all clips, 2 the mean per clip.",
        details="Values other than 0 are refused where there are no clips.",
        range=(0, 2),
        streamed=True,
    )

    def __post_init__(self) -> None:
        for name, one in SPEECH.items():
            value = plain_number(getattr(self, name), integer=one.type is int) if one.range else getattr(self, name)
            check(name, value, one)
            object.__setattr__(self, name, value)
        if self.cond_free_from < self.cond_free_to:
            raise OptionError(
                f"cond_free_from is {self.cond_free_from}, below cond_free_to, which is {self.cond_free_to}: "
                "the first is the noisier step"
            )
        if self.diffusion_iterations == 0 and self.diffusion_start == "noise":
            raise OptionError('diffusion_iterations is 0: give at least 1, or diffusion_start="regressed"')
        if self.diffusion_start != "noise" and self.diffusion_iterations > self.diffusion_start_step + 1:
            raise OptionError(
                f"diffusion_iterations {self.diffusion_iterations} from diffusion_start_step "
                f"{self.diffusion_start_step}: there are only {self.diffusion_start_step + 1} trained steps; take fewer"
            )

    @property
    def guidance(self) -> float | None:
        """Strength of the guidance; None without guidance."""
        return self.cond_free_k if self.cond_free else None

    @property
    def diffuses(self) -> bool:
        """True if the diffusion model has a part in the mel."""
        return self.diffusion_iterations > 0 or self.diffusion_start == "regressed"


SPEECH: Mapping[str, Option] = declared(SpeechOptions)
"""Name -> declaration of each option of `SpeechOptions`."""


class SpeechOptionsDict(TypedDict, total=False):
    """`SpeechOptions` as keyword arguments: for `Unpack[SpeechOptionsDict]` in signatures."""

    num_autoregressive_samples: int
    temperature: float
    length_penalty: float
    repetition_penalty: float
    top_p: float
    top_k: int
    min_mel_tokens: int
    max_mel_tokens: int
    cvvp_amount: float
    diffusion_iterations: int
    cond_free: bool
    cond_free_k: float
    cond_free_from: int
    cond_free_to: int
    diffusion_temperature: float
    sampler: str
    diffusion_spacing: str | None
    diffusion_start: str
    diffusion_start_step: int
    redraws: int
    speed: float
    speed_rule: str
    calm_rule: str
    latent_averaging_mode: int
