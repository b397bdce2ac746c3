"""The routes: what is asked over HTTP, and what is answered."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chexjax.engine import Full
from chexjax.judges import Green, Judgement
from chexjax.serve.asked import Asked, Fields, read_asked, read_json
from chexjax.serve.calls import Call, Piece
from chexjax.serve.config import ServeConfig
from chexjax.serve.errors import Refusal, broken, busy, note, stopping, too_slow, wrong
from chexjax.serve.guard import GONE, Door, Guard
from chexjax.serve.judging import Rubric, ServedWriter, said
from chexjax.serve.metrics import CONTENT_TYPE, Metrics
from chexjax.serve.model import Served, TooLong
from chexjax.serve.prompts import chat_prompts, text_prompts
from chexjax.serve.shapes import Chats, Completions, usage
from chexjax.serve.streams import Events, Gone, until_gone
from chexjax.serve.worker import Stopped, Worker

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_SHORT = 16  # tokens of a completion that names no number, as everywhere


class Service:
    """Everything that answers.

    Attributes:
      door: Counts who is inside.
      metrics: What Prometheus is told.
    """

    def __init__(
        self, config: ServeConfig, served: Served, worker: Worker, rubric: Rubric | None
    ) -> None:
        """Puts the parts together.

        Args:
          config: Of the server.
          served: The model.
          worker: Who owns its engine, started.
          rubric: What `/v1/judge` asks; None for no such route.

        Raises:
          ValueError: others could connect, and there is no token.
        """
        self._config, self._served, self._worker, self._rubric = config, served, worker, rubric
        self._secret = config.secret()
        self._judging = ThreadPoolExecutor(config.limits.judging, thread_name_prefix="judge")
        self._created, self._judges = int(time.time()), 0
        self.door, self.metrics = Door(), Metrics(worker)

    def app(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._completions, methods=["POST"]),
            Route("/v1/judge", self._judge, methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._model),
            Route("/healthz", self._health),
            Route("/metrics", self._page),
        ]
        handlers: dict[Any, Any] = {
            Refusal: _refused,
            HTTPException: _not_found,
            Gone: _left,
            ClientDisconnect: _left,
            Exception: _failed,
        }
        inner = Starlette(routes=routes, exception_handlers=handlers)
        paths = [route.path for route in routes]
        return Guard(inner, self.door, self.metrics, self._secret, paths)

    async def _chat(self, request: Request) -> Response:
        return await self._write(request, chat=True)

    async def _completions(self, request: Request) -> Response:
        return await self._write(request, chat=False)

    async def _write(self, request: Request, *, chat: bool) -> Response:
        loop = asyncio.get_running_loop()
        began, limits = loop.time(), self._config.limits
        deadline = began + limits.timeout
        try:
            async with asyncio.timeout_at(deadline):
                fields = await self._fields(request)
                asked = read_asked(fields, limits, logprobs=_logprobs(fields, chat=chat))
                call = await self._start(fields, asked, chat=chat)
                kind = Chats if chat else Completions
                shape = kind(self._served, logprobs=asked.logprobs, usage=asked.usage)
                pieces = call.pieces()
                with contextlib.ExitStack() as stack:
                    stack.callback(call.close)
                    first = await until_gone(request.receive, _first(pieces))
                    self.metrics.first.observe(loop.time() - began)
                    if asked.stream:
                        stack.pop_all()
                        events = _events(shape, call, first, pieces)
                        return Events(events, deadline, self._refusal, call.close)
                    rest = await until_gone(request.receive, _rest(pieces))
                    return JSONResponse(shape.whole([first, *rest], call.tokens))
        except (Full, Stopped, ValueError, TimeoutError) as error:
            raise self._refusal(error) from error

    async def _start(self, fields: Fields, asked: Asked, *, chat: bool) -> Call:
        """Queues what is asked for, whatever of it there is room for."""
        served, limits = self._served, self._config.limits
        read = chat_prompts if chat else text_prompts
        prompts = await asyncio.to_thread(read, served, fields)  # a long text takes its time
        if len(prompts) * asked.count > limits.choices:
            raise wrong("n", f"{limits.choices} answers at most, prompts times n")
        usual = limits.tokens if chat else min(_SHORT, limits.tokens)
        requests = []
        for k, prompt in enumerate(prompts):
            limit = asked.limit or max(1, min(usual, served.context - len(prompt.ids)))
            try:
                seeds = asked.seeds(k)
                request = served.request(prompt.ids, limit, asked.sampler, seeds, prompt.images)
            except TooLong as error:
                name = "messages" if chat else "prompt"
                raise wrong(name, str(error), "context_length_exceeded") from error
            requests.append(request)
        ids = [prompt.ids for prompt in prompts]
        call = Call(self._worker, served, ids, asked, closed=self._note)
        return call.start(requests, goes_on=not chat)

    def _note(self, call: Call) -> None:
        self.metrics.count_tokens(call.tokens)
        if self._config.log_text:
            prompts = [self._served.decode(prompt) for prompt in call.prompts]
            _log.info("prompts %r, answers %r", prompts, call.texts)

    async def _judge(self, request: Request) -> Response:
        limits, loop = self._config.limits, asyncio.get_running_loop()
        if self._rubric is None:
            raise Refusal(404, "this server judges nothing: give it a question (config.question)")
        if self._judges >= limits.judging:
            raise busy(f"{self._judges} calls are judged already, as many as may; try again later")
        self._judges += 1
        try:
            async with asyncio.timeout(limits.timeout):
                fields = await self._fields(request)
                pairs, full = _pairs(fields, limits.pairs), fields.flag("full")
                limit = self._rubric.limit
                writer = ServedWriter(self._worker, self._served, limit, full=full)
                judge = functools.partial(self._judged, writer, self._rubric, pairs)
                try:
                    work = loop.run_in_executor(self._judging, judge)
                    judgements = await until_gone(request.receive, _awaited(work))
                finally:
                    writer.give_up()
                    self.metrics.count_tokens(writer.tokens)
        except (Full, Stopped, ValueError, TimeoutError) as error:
            raise self._refusal(error) from error
        finally:
            self._judges -= 1
        if self._config.log_text:
            _log.info("pairs %r, judgements %r", pairs, judgements)
        data = [said(k, judgement) for k, judgement in enumerate(judgements)]
        rest = {"judge": Green.name, "model": self._served.name, "usage": usage(writer.tokens)}
        return JSONResponse({"object": "list", "data": data, **rest})

    def _judged(
        self, writer: ServedWriter, rubric: Rubric, pairs: Sequence[tuple[str, str]]
    ) -> list[Judgement]:
        """In a thread of its own, which the judge's store belongs to."""
        green = Green(writer, rubric.prompt, unreadable=self._config.unreadable)
        references, candidates = zip(*pairs, strict=True)
        return green.judge(references, candidates)

    async def _fields(self, request: Request) -> Fields:
        """The fields of the body, which asks for the model that is here."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # A page in a browser may send other kinds to this machine unasked, but not this one.
            raise Refusal(415, "send JSON, with the header Content-Type: application/json")
        fields = read_json(await self._body(request))
        name = fields.get("model")
        if name is not None and name != self._served.name:
            message = f"there is no such model here; there is {self._served.name!r}"
            raise Refusal(404, message, param="model", code="model_not_found")
        return fields

    async def _body(self, request: Request) -> bytes:
        most, body = self._config.limits.body, bytearray()
        refusal = Refusal(413, f"the body has more than {most} bytes", code="body_too_large")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise refusal
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise refusal
        return bytes(body)

    def _refusal(self, error: Exception) -> Refusal:
        """What a client is told of a failure."""
        match error:
            case Refusal():
                return error
            case Full():
                return busy(str(error))
            case TimeoutError():
                return too_slow(self._config.limits.timeout)
            case ValueError():
                return Refusal(400, str(error))
            case Stopped():
                return stopping() if self._worker.healthy else broken()
        note(error)
        return broken()

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def _model(self, request: Request) -> Response:
        if request.path_params["name"] != self._served.name:
            raise Refusal(404, f"there is {self._served.name!r} here", code="model_not_found")
        return JSONResponse(self._described())

    def _described(self) -> dict[str, Any]:
        named = {"id": self._served.name, "object": "model", "created": self._created}
        return {**named, "owned_by": "chexjax", "max_model_len": self._served.context}

    async def _health(self, request: Request) -> Response:
        if not self._worker.healthy:
            return JSONResponse({"status": "failed"}, 503)
        if self.door.closing.is_set():
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok"})

    async def _page(self, request: Request) -> Response:
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)


async def _first(pieces: AsyncIterator[Piece]) -> Piece:
    return await anext(pieces)


async def _rest(pieces: AsyncIterator[Piece]) -> list[Piece]:
    return [piece async for piece in pieces]


async def _awaited(work: asyncio.Future[_T]) -> _T:
    return await work


async def _events(
    shape: Completions, call: Call, first: Piece, pieces: AsyncIterator[Piece]
) -> AsyncIterator[dict[str, Any]]:
    """A call's pieces as events, from one that has come already."""
    opened: set[int] = set()
    piece: Piece | None = first
    while piece is not None:
        if piece.choice not in opened:
            opened.add(piece.choice)
            for event in shape.opening(piece):
                yield event
        if piece.text or piece.finish or (shape.wants_logprobs and piece.tokens):
            yield shape.event(piece)
        piece = await anext(pieces, None)
    for event in shape.closing(call.tokens):
        yield event


def _logprobs(fields: Fields, *, chat: bool) -> bool:
    """Whether log-probabilities are asked for; there are those of the written tokens alone."""
    if chat:
        return fields.flag("logprobs")
    count = fields.whole("logprobs", None, 0, 5)
    if count:
        raise wrong(
            "logprobs", "there are only those of the written tokens; set it to 0", "unsupported"
        )
    return count is not None


def _pairs(fields: Fields, most: int) -> list[tuple[str, str]]:
    """The pairs of reports to judge.

    Raises:
      Refusal: they are no such pairs, or too many.
    """
    pairs = fields.get("pairs")
    if not isinstance(pairs, list) or not 0 < len(pairs) <= most:
        raise wrong("pairs", f"must be a list of 1 to {most} objects")
    found = []
    for k, pair in enumerate(pairs):
        if not isinstance(pair, dict):
            raise wrong(f"pairs[{k}]", "must be an object with reference and candidate")
        reference, candidate = (Fields(pair).text(name) for name in ("reference", "candidate"))
        if not reference.strip():
            raise wrong(f"pairs[{k}].reference", "is empty, so nothing can be judged against it")
        found.append((reference, candidate))
    return found


async def _refused(request: Request, refusal: Refusal) -> Response:
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _not_found(request: Request, error: HTTPException) -> Response:
    refusal = Refusal(error.status_code, f"{error.detail}: {request.method} {request.url.path}")
    return JSONResponse(refusal.body, refusal.status, error.headers)


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=GONE)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse(broken().body, 500)
