"""The body of a speech request: JSON to a checked `SpeechRequest`."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tutortoietts.core.errors import OptionError
from tutortoietts.core.options import SPEECH, check
from tutortoietts.core.streaming import DECODERS, refuse_unheard
from tutortoietts.server.errors import ApiError, invalid
from tutortoietts.server.formats import FORMATS, RATES, can_stream
from tutortoietts.server.settings import ServerSettings

__all__ = ["MODEL_ALIASES", "STREAM_FORMATS", "ModelInfo", "SpeechRequest", "parse_json", "parse_speech"]

STREAM_FORMATS = ("audio", "sse", "json")
MODEL_ALIASES = {"tts-1": "stream", "tts-1-hd": "diffusion", "gpt-4o-mini-tts": "auto"}
"""Models of OpenAI that clients ask for -> decoder."""

_FIELDS = (
    "input", "model", "voice", "response_format", "speed", "stream_format", "instructions", "stream", "seed", "preset",
    "decoder", "sample_rate", "normalize", "language", "timestamps", "options",
)  # fmt: skip
_IGNORED = ("instructions",)
_MOST_STEPS, _MOST_CANDIDATES = "diffusion_iterations", "num_autoregressive_samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts about the model that decide whether a request is valid; and the terms of its sound, "" if none."""

    name: str
    sample_rate: int
    presets: tuple[str, ...]
    languages: tuple[str, ...]
    has_stream_decoder: bool
    default_voice: str
    terms: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """A checked request. voice: a voice or mix by its own names. whole: answer only when all is made.

    ignored: fields that were given and have no effect.
    """

    text: str
    voice: str
    form: str = "pcm"
    speed: float = 1.0
    sse: bool = False
    as_json: bool = False
    whole: bool = False
    seed: int | None = None
    preset: str | None = None
    decoder: str = "auto"
    sample_rate: int = 24000
    normalize: bool | None = None
    language: str = "en"
    timestamps: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises ApiError 400."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON in UTF-8: {str(error)[:100]}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise invalid(f"the body is a JSON {type(value).__name__}, must be an object", code="invalid_json")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_speech(body: Mapping[str, Any], settings: ServerSettings, model: ModelInfo, **defaults: Any) -> SpeechRequest:
    """Return the request of a body; `defaults` for fields that it lacks. Raises ApiError, naming the field."""
    given = {**defaults, **{name: value for name, value in body.items() if value is not None}}
    reader = _Reader(given)
    decoder = model_decoder(reader.text("model", model.name, 200), model)
    if "decoder" in given:
        decoder = reader.choice("decoder", "auto", DECODERS)
    decoder = _decoder(decoder, model)
    form = reader.choice("response_format", "mp3", FORMATS)
    stream_format = reader.choice("stream_format", "audio", STREAM_FORMATS)
    timestamps = reader.switch("timestamps", False)
    if timestamps and stream_format == "audio":
        raise invalid('timestamps need stream_format "sse" or "json": bytes of sound have no room', "timestamps")
    rate = int(reader.number("sample_rate", model.sample_rate, 8000, 48000, integer=True))
    if form not in ("pcm", "wav", "flac") and rate not in RATES:
        raise invalid(f"{form} cannot hold {rate} samples a second: use one of {RATES}", "sample_rate")
    if form == "opus" and rate not in (8000, 12000, 16000, 24000, 48000):
        raise invalid(f"opus cannot hold {rate} samples a second: use 24000 or 48000", "sample_rate")
    seed = given.get("seed")
    preset = reader.choice("preset", "", model.presets) if "preset" in given else None
    reader.text("instructions", "", 4096)
    speed, options = _speed(reader, _options(given.get("options", {}), settings, decoder))
    return SpeechRequest(
        text=_input(given.get("input"), settings.max_input),
        voice=voice_name(given.get("voice"), settings, model),
        form=form,
        speed=speed,
        sse=stream_format == "sse",
        as_json=stream_format == "json",
        whole=not reader.switch("stream", True) or stream_format == "json" or not can_stream(form),
        seed=None if seed is None else int(reader.number("seed", 0, -(2**63), 2**63 - 1, integer=True)),
        preset=preset,
        decoder=decoder,
        sample_rate=rate,
        normalize=None if reader.switch("normalize", True) else False,
        language=reader.choice("language", "en", ("auto", *model.languages)),
        timestamps=timestamps,
        options=options,
        ignored=tuple(name for name in body if name in _IGNORED or name not in _FIELDS)[:20],
    )


def model_decoder(name: str, model: ModelInfo) -> str:
    """Return the decoder that a model's name stands for. Raises ApiError 404."""
    if name == model.name:
        return "auto"
    for alias, decoder in MODEL_ALIASES.items():
        if name == alias or name.startswith(f"{alias}-2"):  # with a date, as gpt-4o-mini-tts-2025-12-15
            return decoder
    known = ", ".join([model.name, *MODEL_ALIASES])
    raise ApiError(
        404, f"there is no model {name[:80]!r} here: use one of {known}", param="model", code="model_not_found"
    )


def _decoder(decoder: str, model: ModelInfo) -> str:
    if decoder == "stream" and not model.has_stream_decoder:
        return "diffusion"
    return ("stream" if model.has_stream_decoder else "diffusion") if decoder == "auto" else decoder


def _input(value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise invalid("input is missing: give the text to speak as a string", "input", "missing_input")
    if len(value) > longest:
        raise invalid(
            f"input has {len(value)} characters, above the limit of {longest}: send it in parts",
            "input",
            "string_above_max_length",
        )
    if not value.strip():
        raise invalid("input is blank: give some text to speak", "input", "empty_input")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid("input has half a surrogate pair in it, which is no character", "input") from None
    return value


def voice_name(value: Any, settings: ServerSettings, model: ModelInfo) -> str:
    """Return a voice or a mix by the names of this server, in its own syntax "a*2+b"; "a(2)+b(1)" is read too."""
    if isinstance(value, Mapping):
        value = value.get("id")
    if value is None or value == "":
        return model.default_voice
    if not isinstance(value, str):
        raise invalid(f'voice is a {type(value).__name__}, must be a name or {{"id": name}}', "voice")
    if len(value) > 600:
        raise invalid(f"voice has {len(value)} characters, above the limit of 600", "voice", "voice_not_found")
    terms = value.split("+")
    if len(terms) > 8:
        raise invalid(f"voice mixes {len(terms)} voices, above the limit of 8", "voice")
    return "+".join(_term(term.strip(), settings.aliases) for term in terms)


def _term(term: str, aliases: Mapping[str, str]) -> str:
    name, star, weight = term.partition("*")
    if not star and term.endswith(")") and "(" in term:
        name, _, weight = term[:-1].rpartition("(")
    name = aliases.get(name.strip().lower(), name.strip())
    return f"{name}*{weight.strip()}" if weight or star else name


def _speed(reader: _Reader, options: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Return the speed by which the sound is stretched, and the model's options: only one of them changes the speed.

    Raises ApiError where both are given and differ, or the one that is given cannot be had by the `speed_rule`.
    """
    speed, own = reader.number("speed", 1.0, 0.25, 4.0), options.get("speed")
    if own is not None and "speed" in reader.given and speed != own:
        raise invalid(f"speed is {speed:g}, but options.speed is {own:g}: give one of them", "speed")
    speed = speed if own is None else float(own)
    rest = {name: value for name, value in options.items() if name != "speed"}
    if options.get("speed_rule", "stretch") == "stretch":
        return speed, rest
    try:
        check("speed", speed, SPEECH["speed"])
    except OptionError as error:
        raise invalid(f"{error} by this speed_rule", "speed") from None
    return 1.0, {**rest, "speed": speed}


def _options(value: Any, settings: ServerSettings, decoder: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(f"options is a {type(value).__name__}, must be an object", "options")
    most = {_MOST_CANDIDATES: settings.max_candidates, _MOST_STEPS: settings.max_steps}
    for name, one in value.items():
        param = f"options.{str(name)[:60]}"
        if name not in SPEECH:
            near = difflib.get_close_matches(str(name)[:60], SPEECH, 1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise invalid(f"there is no option {str(name)[:60]!r}{hint}", param, "unknown_option")
        try:
            check(name, one, SPEECH[name])
        except OptionError as error:
            raise invalid(str(error), param, "invalid_option") from None
        if name in most and one > most[name]:
            raise invalid(f"{name} is {one}, above the limit of this server, {most[name]}", param, "invalid_option")
    if decoder == "stream":
        try:
            refuse_unheard(value, SPEECH)
        except OptionError as error:
            raise invalid(str(error), "options", "invalid_option") from None
    return dict(value)


@dataclass(frozen=True, slots=True)
class _Reader:
    given: Mapping[str, Any]

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.given.get(name, default)
        if not isinstance(value, str) or value not in choices:
            raise invalid(f"{name} is {_shown(value)}, must be one of {', '.join(choices)}", name)
        return value

    def switch(self, name: str, default: bool) -> bool:
        value = self.given.get(name, default)
        if not isinstance(value, bool):
            raise invalid(f"{name} is {_shown(value)}, must be true or false", name)
        return value

    def text(self, name: str, default: str, longest: int) -> str:
        value = self.given.get(name, default)
        if not isinstance(value, str) or len(value) > longest:
            raise invalid(f"{name} is {_shown(value)}, must be text of at most {longest} characters", name)
        return value

    def number(self, name: str, default: float, low: float, high: float, *, integer: bool = False) -> float:
        value = self.given.get(name, default)
        kinds = int if integer else (int, float)
        good = isinstance(value, kinds) and not isinstance(value, bool)
        if not good or not (isinstance(value, int) or math.isfinite(value)) or not low <= value <= high:
            kind = "an integer" if integer else "a number"
            raise invalid(f"{name} is {_shown(value)}, must be {kind} of {low:g}..{high:g}", name)
        return int(value) if integer else float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
