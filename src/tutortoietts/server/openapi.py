"""The description of the HTTP API, OpenAPI 3.1, from the same tables as the code that reads requests."""

from __future__ import annotations

from typing import Any

from tutortoietts.core.options import SPEECH, Option
from tutortoietts.core.streaming import DECODERS
from tutortoietts.server.formats import FORMATS
from tutortoietts.server.request import MODEL_ALIASES, STREAM_FORMATS, ModelInfo
from tutortoietts.server.settings import ServerSettings
from tutortoietts.server.uploads import MOST_CLIPS
from tutortoietts.version import __version__

__all__ = ["document"]

Schema = dict[str, Any]
_SPEED = "Pitch is kept. options.speed says the same; both may be given only where they are equal."
_TERMS = "(ours) The licence that the sound comes under, with its address, where the model has one."
_TYPES: dict[type[Any], str] = {int: "integer", float: "number", bool: "boolean", str: "string"}


def document(settings: ServerSettings, model: ModelInfo | None = None) -> Schema:
    """Return the document; with a model, once it is loaded, also its languages and presets."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tutortoie TTS",
            "version": __version__,
            "description": "Text to speech with the interface of OpenAI's. Extensions are marked (ours).",
        },
        "servers": [{"url": settings.root_path or "/"}],
        "security": [{"key": []}, {}] if not settings.keys else [{"key": []}],
        "paths": _paths(settings),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _object(error=_object(message=_text(), type=_text(), param=_maybe(), code=_maybe())),
                "SpeechRequest": _speech(settings, model),
                "Model": _object(id=_text(), object={"const": "model"}, created=_integer(), owned_by=_text()),
                "Voice": _object(
                    id=_text(), name=_text(), object={"const": "audio.voice"}, created_at=_integer(), kind=_text(),
                    languages={"type": "array", "items": _text()},
                ),
            },
        },
    }  # fmt: skip


def _paths(settings: ServerSettings) -> Schema:
    speech = {
        "requestBody": {"required": True, "content": _json({"$ref": "#/components/schemas/SpeechRequest"})},
        "responses": _responses(_sound(), 400, 401, 403, 404, 408, 413, 415, 429, 501, 503, 504),
    }
    speech["responses"]["200"]["headers"] = {"x-tutortoietts-terms": {"description": _TERMS, "schema": _text()}}
    voice_list = _object(object={"const": "list"}, voices=_many("Voice"), data=_many("Voice"))
    models, loading = _object(object={"const": "list"}, data=_many("Model")), (403, 503)
    state = _json({"type": "object", "required": ["status"], "properties": {"status": _text()}})
    clips = {"type": "array", "items": _binary(), "minItems": 1, "maxItems": MOST_CLIPS}
    upload = _object(name=_text(1, 64), consent=_text(1, 200), audio_sample=clips)
    upload["properties"]["replace"] = {"type": "string", "enum": ["true", "false"]}
    created = _responses(_json({"$ref": "#/components/schemas/Voice"}), 400, 401, 403, 408, 409, 413, 415, 503, 504)
    return {
        "/v1/audio/speech": {"post": {"operationId": "createSpeech", **speech}},
        "/v1/audio/speech/stream": {"post": {"operationId": "streamSpeech", **speech}},
        "/v1/models": {"get": _get("listModels", _json(models), *loading)},
        "/v1/models/{model}": {
            "get": {
                **_get("getModel", _json({"$ref": "#/components/schemas/Model"}), 404, *loading),
                "parameters": [_in_path("model")],
            }
        },
        "/v1/audio/models": {"get": _get("listAudioModels", _json(_object(models=_many("Model"))), *loading)},
        "/v1/audio/voices": {
            "get": _get("listVoices", _json(voice_list), *loading),
            "post": {
                "operationId": "addVoice",
                "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": upload}}},
                "responses": created,
            },
        },
        "/v1/audio/voices/{voice}": {
            "delete": {
                **_get("deleteVoice", _json(_object(id=_text(), deleted={"const": True})), 401, 404, 413, *loading),
                "parameters": [_in_path("voice")],
            }
        },
        "/v1/audio/voices/{voice}/sample": {
            "get": {
                **_get("sampleVoice", _sound(), 400, 401, 404, 501, 504, *loading),
                "parameters": [
                    _in_path("voice"),
                    {"name": "format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS)}},
                ],
            }
        },
        "/health": {"get": _health("health", state)},
        "/health/live": {"get": _health("live", state)},
        "/health/ready": {"get": _health("ready", state)},
        "/metrics": {"get": _get("metrics", {"text/plain": {"schema": _text()}}, 401, 403)},
        "/openapi.json": {"get": _get("openapi", _json({"type": "object"}), 403)},
    }


def _speech(settings: ServerSettings, model: ModelInfo | None) -> Schema:
    any_of = {"anyOf": [_text(), {"type": "object", "required": ["id"], "properties": {"id": _text()}}]}
    properties = {
        "input": _text(1, settings.max_input),
        "model": {**_text(), "description": f"The model's id, or {', '.join(MODEL_ALIASES)}."},
        "voice": {**any_of, "description": "A voice, or a mix such as clara*2+joe."},
        "response_format": {"type": "string", "enum": list(FORMATS), "default": "mp3"},
        "speed": {"type": "number", "minimum": 0.25, "maximum": 4, "default": 1, "description": _SPEED},
        "stream_format": {"type": "string", "enum": list(STREAM_FORMATS), "default": "audio"},
        "instructions": {"type": "string", "maxLength": 4096, "description": "Accepted and ignored."},
        "stream": {"type": "boolean", "default": True, "description": "(ours) false: answer once all is made."},
        "seed": {"type": ["integer", "null"], "description": "(ours) The same seed gives the same sound."},
        "preset": {
            **_one_of([*model.presets, None] if model else None),
            "description": "(ours) A preset of the model.",
        },
        "decoder": {"type": "string", "enum": list(DECODERS), "description": "(ours)"},
        "sample_rate": {"type": "integer", "minimum": 8000, "maximum": 48000, "description": "(ours)"},
        "normalize": {"type": "boolean", "default": True, "description": "(ours) Put numbers into words."},
        "language": {**_one_of([*model.languages] if model else None), "description": "(ours)"},
        "timestamps": {"type": "boolean", "default": False, "description": "(ours) Times of words, in sse and json."},
        "options": {"type": "object", "properties": {name: _option(one) for name, one in SPEECH.items()}},
    }
    return {"type": "object", "required": ["input"], "properties": properties}


def _option(one: Option) -> Schema:
    schema: Schema = {"type": _TYPES[one.type], "description": one.help}
    if one.choices is not None:
        return {"enum": list(one.choices), "description": one.help}
    if one.range is not None:
        schema |= {"minimum": one.range[0], "maximum": one.range[1]}
    return schema


def _one_of(choices: list[Any] | None) -> Schema:
    return {"type": ["string", "null"]} if choices is None else {"enum": choices}


def _object(**properties: Any) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _text(least: int = 0, most: int | None = None) -> Schema:
    return {"type": "string", **({"minLength": least} if least else {}), **({"maxLength": most} if most else {})}


def _maybe() -> Schema:
    return {"type": ["string", "null"]}


def _integer() -> Schema:
    return {"type": "integer"}


def _binary() -> Schema:
    return {"type": "string", "contentMediaType": "application/octet-stream"}


def _many(name: str) -> Schema:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _sound() -> Schema:
    kinds = ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm", "text/event-stream")
    return {kind: {} for kind in kinds} | {"application/json": {}}


def _responses(content: Schema, *errors: int) -> Schema:
    error = {"description": "Error", "content": _json({"$ref": "#/components/schemas/Error"})}
    return {"200": {"description": "OK", "content": content}, **{str(status): error for status in errors}}


def _get(name: str, content: Schema, *errors: int) -> Schema:
    return {"operationId": name, "responses": _responses(content, *errors)}


def _health(name: str, content: Schema) -> Schema:
    busy = {"description": "Not ready", "content": content}
    return {"operationId": name, "responses": {**_responses(content, 403), "503": busy}}


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": _text(1)}
