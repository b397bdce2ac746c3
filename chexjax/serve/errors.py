"""What a client is told when it does not get what it asked for, in OpenAI's shape."""

from __future__ import annotations

import logging
import traceback
from typing import Any

_log = logging.getLogger(__name__)
_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refusal(Exception):
    """An answer that is none."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry: int | None = None,
    ) -> None:
        """Says why.

        Args:
          status: Of HTTP.
          message: For people; it repeats no text of a prompt.
          param: Field of the body that is to blame.
          code: For programs.
          retry: Seconds after which it is worth another try.
        """
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry = retry

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = _KINDS.get(self.status, kind)
        said = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": said}

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers."""
        headers = {} if self.retry is None else {"Retry-After": str(self.retry)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def wrong(param: str, message: str, code: str | None = None) -> Refusal:
    """A field of the body cannot be used."""
    return Refusal(400, f"{param}: {message}", param=param, code=code)


def busy(message: str) -> Refusal:
    """There is no room now."""
    return Refusal(429, message, code="queue_full", retry=1)


def stopping() -> Refusal:
    """The server takes no new work."""
    return Refusal(503, "the server is stopping; ask another one", code="stopping", retry=5)


def too_slow(seconds: float) -> Refusal:
    """A call took longer than it may."""
    message = f"no answer within {seconds:g} s (limits.timeout); ask for fewer tokens"
    return Refusal(504, message, code="timeout")


def broken() -> Refusal:
    """The engine, or what stands before it, has failed; the log says how."""
    return Refusal(500, "the server failed; its log says how", code="internal_error")


def note(error: Exception) -> None:
    """Writes a failure of our own to the log: where, but not its message, which may hold text."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s while answering:\n%s", type(error).__name__, frames)
