"""Errors as OpenAI's API tells them: a status and {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import math
from typing import Any

from tutortoietts.core.errors import (
    AudioError,
    Cancelled,
    OptionError,
    OutputError,
    TextError,
    TutortoieError,
    VoiceError,
)

__all__ = ["ApiError", "api_error", "invalid", "unavailable"]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict_error",
    411: "invalid_request_error",
    413: "request_too_large",
    415: "unsupported_media_type",
    421: "permission_error",
    429: "rate_limit_error",
    431: "request_too_large",
}


class ApiError(Exception):
    """A refusal or failure that is sent to the client.

    code: a word for programs. param: field that is wrong. retry: seconds after which another try makes sense.
    reason: label of the metric, for refusals of a server that is busy.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry: float | None = None,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.reason = status, message, code, param, reason
        self.type = _TYPES.get(status, "server_error")
        self.headers = dict(headers or {})
        if retry is not None:
            seconds = min(60, max(1, math.ceil(retry)))
            self.headers |= {"retry-after": str(seconds), "retry-after-ms": str(seconds * 1000)}

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that the client reads."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return a 400 for a field."""
    return ApiError(400, message, param=param, code=code)


def unavailable(message: str, reason: str, retry: float = 1.0) -> ApiError:
    """Return a 503: a limit of the server, with `reason` as its code."""
    return ApiError(503, message, code=reason, retry=retry, reason=reason)


def api_error(error: BaseException, request_id: str = "") -> ApiError:
    """Return the answer to the client for any error; unexpected ones reveal nothing of the machine."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TextError):
        return invalid(str(error), "input", "empty_input" if "sayable" in str(error) else "invalid_input")
    if isinstance(error, VoiceError):
        return invalid(str(error), "voice", "voice_not_found")
    if isinstance(error, AudioError):
        return invalid(str(error), None, "invalid_audio")
    if isinstance(error, OptionError):
        return invalid(str(error), "options", "invalid_option")
    if isinstance(error, OutputError):
        return ApiError(501, "this format cannot be written here: choose wav", code="format_unavailable")
    if isinstance(error, Cancelled):
        return ApiError(503, "the server stopped this request", code="cancelled", retry=5)
    kind = "the model failed" if isinstance(error, TutortoieError) else "internal error"
    return ApiError(500, f"{kind}; the server's log tells more under {request_id}", code="internal_error")
