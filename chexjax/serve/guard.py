"""What stands before every route: token, drain, a line in the log, and a count."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Collection

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chexjax.serve.errors import Refusal, broken, note, stopping
from chexjax.serve.metrics import Metrics

_log = logging.getLogger(__name__)
_OPEN = ("/healthz",)  # whoever looks after the process has no token
_WATCHED = ("/healthz", "/metrics")  # answered to the end
GONE = 499
"""Status of a request whose client has left, as nginx counts it."""


class Door:
    """Whether work comes in, and how much of it is inside."""

    def __init__(self) -> None:
        """Stands open."""
        self.inside = 0
        self.closing = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self) -> None:
        """Lets one in."""
        self.inside += 1
        self._empty.clear()

    def leave(self) -> None:
        """Lets one out."""
        self.inside -= 1
        if not self.inside:
            self._empty.set()

    async def empty(self) -> None:
        """Waits until nobody is inside."""
        await self._empty.wait()


class Guard:
    """An ASGI application around another one."""

    def __init__(
        self, app: ASGIApp, door: Door, metrics: Metrics, secret: str, paths: Collection[str]
    ) -> None:
        """Puts itself in front.

        Args:
          app: What answers.
          door: Counts who is inside.
          metrics: Count what was answered.
          secret: The token; without one anybody may come in.
          paths: Of the routes, for the counts: a client must not make up names of series.
        """
        self._app, self._door, self._metrics, self._paths = app, door, metrics, paths
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":  # no lifespan, no websockets
            return
        began, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._door.enter()
        try:
            await self._answer(scope, receive, sent)
        except Exception as error:
            note(error)
            if not status:
                await _refuse(broken(), scope, receive, sent)
        finally:
            self._door.leave()
            self._count(scope, status or GONE, time.monotonic() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._secret and scope["path"] not in _OPEN and not self._knows(scope):
            refusal = Refusal(
                401, "send the server's token: Authorization: Bearer TOKEN", code="invalid_api_key"
            )
            await _refuse(refusal, scope, receive, send)
        elif self._door.closing.is_set() and scope["path"] not in _WATCHED:
            await _refuse(stopping(), scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        shown = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = shown.partition(b" ")
        same = hmac.compare_digest(token.strip(), self._secret)
        return bool(kind.lower() == b"bearer" and same)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if route not in _WATCHED:
            _log.info("%s %s %d %.3f s", scope["method"], route, status, seconds)


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    response = JSONResponse(refusal.body, refusal.status, refusal.headers)
    await response(scope, receive, send)
