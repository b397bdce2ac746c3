"""Work for a client that may leave before it is done, and answers that come as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chexjax.serve.errors import Refusal

_T = TypeVar("_T")
_PARTING = 1.0  # seconds for the last words to a client that may read nothing


class Gone(Exception):
    """The client has left."""


async def until_gone(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T:
    """Does some work, but no longer than the client stays.

    Raises:
      Gone: it has left; the work is cancelled.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Gone
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Events(Response):
    """Server-sent events; ends with `[DONE]`, or with an error where it breaks off."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[dict[str, Any]],
        deadline: float,
        refusal: Callable[[Exception], Refusal],
        closed: Callable[[], None],
    ) -> None:
        """Sends nothing yet.

        Args:
          events: What to send.
          deadline: By the loop's clock.
          refusal: What a client is told of a failure.
          closed: Called at the end, whatever that is.
        """
        self._events, self._deadline = events, deadline
        self._refusal, self._closed = refusal, closed
        self.status_code, self.background = 200, None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends all of it, as fast as the client reads."""
        try:
            await until_gone(receive, self._send_all(send))
        except Gone:
            return
        finally:
            self._closed()

    async def _send_all(self, send: Send) -> None:
        headers = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **headers})
        try:
            async with asyncio.timeout_at(self._deadline):
                async for event in self._events:
                    await _send(send, json.dumps(event))
                await _send(send, "[DONE]")
        except Exception as error:
            last = json.dumps(self._refusal(error).body)
            try:
                async with asyncio.timeout(_PARTING):
                    await _send(send, last)
            except TimeoutError:
                return  # it reads nothing, so the connection ends here
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, data: str) -> None:
    body = f"data: {data}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
