"""Servers that tests talk to: around the engine with a small random model, or a scripted one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
import threading
import time
import traceback
from collections import deque

import httpx2
import openai
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chexjax.engine import Engine, EngineConfig, Full, Written
from chexjax.families import Chat, llama
from chexjax.judges.prompt import Prompt
from chexjax.serve.api import Service
from chexjax.serve.config import Limits, ServeConfig
from chexjax.serve.judging import Rubric, preamble
from chexjax.serve.model import Served
from chexjax.serve.server import Server, bind
from chexjax.serve.worker import Worker

END = 256
FAMILY = dataclasses.replace(
    llama.llama("x", layers=2, width=32, heads=4, mlp=48, vocabulary=257, kv_heads=4, context=512),
    chat=Chat(start="", turn="<{role}>{text}\n", answer="<assistant>"),
)
PROMPT = Prompt("Compare.\n<r>", "</r>\n<c>", "</c>")
ENGINE = EngineConfig(slots=16, steps=4, chunk=64)


def byte_tokenizer():
    """Every byte is a token, and one more ends a text."""
    vocabulary = {text: k for k, text in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bare = Tokenizer(models.BPE({**vocabulary, "<end>": END}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<end>")


def served(**fields):
    return Served("tiny", FAMILY, byte_tokenizer(), (END,), **fields)


class Scripted:
    """An engine that answers as it is told to, a few tokens a step, some requests at a time.

    `go` holds it back while it is clear; `fail` breaks it.
    """

    def __init__(self, answer, slots=8, steps=3, depth=1024, pause=0.0):
        self.answer, self.slots, self.steps, self.depth = answer, slots, steps, depth
        self.pause = pause
        self.go = threading.Event()
        self.go.set()
        self.fail = False
        self.made = served()
        self.waiting, self.running, self.unwanted = deque(), {}, set()
        self.count = 0
        self.cancelled = []

    @property
    def idle(self):
        return not (self.waiting or self.running)

    def submit(self, request):
        if len(self.waiting) >= self.depth:
            raise Full("too many")
        self.count += 1
        self.waiting.append((self.count, request))
        return self.count

    def cancel(self, ticket):
        self.cancelled.append(ticket)
        self.unwanted.add(ticket)

    def step(self):
        self.go.wait()
        time.sleep(self.pause)
        if self.fail:
            raise RuntimeError("the device is on fire")
        written = []
        for ticket, request in [one for one in self.waiting if one[0] in self.unwanted]:
            self.waiting.remove((ticket, request))
            written += [Written(ticket, k, (), (), "cancelled") for k in range(len(request.rows))]
        while self.waiting and len(self.running) < self.slots:
            ticket, request = self.waiting.popleft()
            self.running[ticket] = [request, self._answers(request)]
        for ticket, (request, left) in list(self.running.items()):
            for row in list(left):
                if ticket in self.unwanted:
                    written.append(Written(ticket, row, (), (), "cancelled"))
                    del left[row]
                else:
                    written.append(self._write(ticket, request, left, row))
            if not left:
                del self.running[ticket]
        return written

    def _answers(self, request):
        left = {}
        for row, own in enumerate(request.rows):
            asked = self.made.decode([*request.prefix, *own])
            answer = self.answer(asked)
            if not own:  # one of several answers to a prompt: they differ
                answer = f"{row}{answer}"
            left[row] = ([*self.made.plain_ids(answer), END], [])
        return left

    def _write(self, ticket, request, left, row):
        answer, said = left[row]
        before = len(said)
        said += answer[before : before + self.steps]
        kept = request.stop(said) if request.stop else None
        done = kept is not None or said[-1] == END or len(said) >= request.limit
        if kept is not None:
            del said[kept:]
        new = tuple(said[before : request.limit])
        if done:
            del left[row]
        return Written(ticket, row, new, (-0.5,) * len(new), "stop" if done else None)


class Running:
    """A server in a thread, and ways to talk to it."""

    def __init__(self, service, server, worker, address, secret, thread):
        self.service, self.server, self.worker = service, server, worker
        self.address, self.secret, self.thread = address, secret, thread
        self.url = f"http://127.0.0.1:{address[1]}"

    def openai(self, **options):
        given = {"max_retries": 0, "timeout": 60, "api_key": self.secret or "none", **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", **given)

    def post(self, path, body=None, **options):
        if body is not None:  # by hand, for a client would refuse to send some of it
            headers = {"Content-Type": "application/json"}
            options = {"content": json.dumps(body), "headers": headers, **options}
        return httpx2.post(f"{self.url}{path}", timeout=60, **options)

    def get(self, path, **options):
        return httpx2.get(f"{self.url}{path}", timeout=60, **options)

    def metric(self, name):
        lines = self.get("/metrics").text.splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name]
        return float(found[0]) if found else 0.0

    def settles(self, **wanted):
        """Waits until gauges have values."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if all(getattr(self.worker, name) == value for name, value in wanted.items()):
                return
            time.sleep(0.01)
        raise AssertionError({name: getattr(self.worker, name) for name in wanted})


@contextlib.contextmanager
def running(engine, *, limits=None, judge=0, secret="", depth=1024, model=None, **fields):
    """A server around a scripted engine, a worker, or the real engine with a model."""
    config = ServeConfig(
        port=0, token="CHEXJAX_TEST_TOKEN", limits=Limits(**(limits or {})), **fields
    )
    rubric = Rubric(PROMPT, judge) if judge else None
    made = model or served()
    if rubric:
        made = dataclasses.replace(made, preamble=tuple(preamble(made, PROMPT)))

    @contextlib.contextmanager
    def making():
        if isinstance(engine, Scripted):
            yield engine
        else:
            yield Engine(engine, ENGINE, made.preamble)

    worker = engine if isinstance(engine, Worker) else Worker(making, depth)
    if worker is not engine:
        worker.start()
    service = Service(config, made, worker, rubric)
    server = Server(config, service, worker)
    with bind(config) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=lambda: asyncio.run(server.listen(listener)))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Running(service, server, worker, address, secret, thread)
        finally:
            if isinstance(engine, Scripted):
                engine.go.set()
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), where(thread)


def where(thread):
    """What a thread does that should have ended, and the engine's beside it."""
    frames = sys._current_frames()
    named = {one.ident: one.name for one in threading.enumerate()}
    told = (thread.ident, *(ident for ident, name in named.items() if name == "engine"))
    stacks = ("".join(traceback.format_stack(frames[one])) for one in told if one in frames)
    return "\n".join(stacks)
