"""Judgements from the served model: a judge that asks the engine next door."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
import os
import queue
from collections.abc import Callable, Sequence
from typing import Any

from chexjax.engine import Full, Request, Sampler, Written
from chexjax.judges.answer import CATEGORIES, is_decided
from chexjax.judges.base import Judgement
from chexjax.judges.prompt import Prompt, Question
from chexjax.judges.store import Answer
from chexjax.serve.model import Served
from chexjax.serve.worker import Stopped, Worker

_AGAIN = Sampler(temperature=0.7)  # of a second try, where the greedy answer cannot be read
_SEED = 1
_TOGETHER = 8  # questions about one reference that go side by side
_AHEAD = 64  # groups of one call that are in the engine at once, for others to come between
_ANYTHING = ("no acute disease", "heart size is normal")  # two texts that begin differently

News = tuple[int, Written | Exception]


@dataclasses.dataclass(frozen=True)
class Rubric:
    """What the model is asked about pairs of reports, and the most tokens of an answer."""

    prompt: Prompt
    limit: int


@dataclasses.dataclass(frozen=True)
class _Group:
    """Questions about one reference: numbers, ids, what has been written, rows that go on."""

    numbers: Sequence[int]
    asked: Sequence[Sequence[int]]
    written: Sequence[list[int]]
    open: set[int]


class ServedWriter:
    """Writes a judge's answers for one call, in the caller's thread."""

    def __init__(self, worker: Worker, served: Served, limit: int, *, full: bool) -> None:
        """Asks for nothing yet.

        Args:
          worker: Who owns the engine.
          served: The judge.
          limit: Most tokens of an answer.
          full: Write answers to their end; without, until the score is decided.
        """
        self._worker, self._served, self._limit, self._full = worker, served, limit, full
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._open: dict[int, int] = {}
        self.tokens = (0, 0)

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What decides its answers, beside the question."""
        served = self._served
        return ("served", served.name, served.family.name, self._limit, int(self._full))

    def write(
        self, questions: Sequence[Question], keep: Callable[[int, Answer], None], *, again: bool
    ) -> None:
        """Answers questions, many at a time; those about one reference stand together.

        Raises:
          Full: others fill the queue.
          Stopped: the engine's thread has ended, or the call is given up.
          ValueError: a question is too long.
        """
        alike = itertools.groupby(range(len(questions)), lambda number: questions[number].shared)
        parts = [part for _, same in alike for part in _parts(list(same))]
        groups = [self._group(part, [questions[number] for number in part]) for part in parts]
        requests = [self._request(group, again=again) for group in groups]
        waiting = collections.deque(enumerate(requests))
        try:
            while waiting or self._open:
                self._send(waiting)
                k, news = self._news.get()
                if isinstance(news, Exception):
                    raise news
                group = groups[k]
                group.written[news.row].extend(news.tokens)
                if news.finish is not None:
                    keep(group.numbers[news.row], self._answer(group, news.row))
                    group.open.discard(news.row)
                    if not group.open:
                        del self._open[k]
        finally:
            for ours in self._open.values():
                self._worker.cancel(ours)
            self._open.clear()

    def give_up(self) -> None:
        """Ends the call from another thread: it raises `Stopped`."""
        self._news.put((-1, Stopped("the call is given up")))

    def _send(self, waiting: collections.deque[tuple[int, Request]]) -> None:
        """Keeps some groups in the engine, fewer where others need its queue."""
        while waiting and len(self._open) < _AHEAD:
            k, request = waiting[0]
            try:
                [number] = self._worker.submit([request], functools.partial(self._tell, k))
            except Full:
                if not self._open:
                    raise
                return
            self._open[k] = number
            waiting.popleft()

    def _tell(self, k: int, _: int, news: Written | Exception) -> None:
        self._news.put((k, news))

    def _group(self, numbers: Sequence[int], questions: Sequence[Question]) -> _Group:
        asked = [question_ids(self._served, question) for question in questions]
        return _Group(numbers, asked, [[] for _ in asked], set(range(len(asked))))

    def _request(self, group: _Group, *, again: bool) -> Request:
        sampler = _AGAIN if again else Sampler(temperature=0.0)
        stop = None if self._full else self._decided
        seeds = [_SEED] * len(group.asked)
        return self._served.group(group.asked, self._limit, sampler, seeds, stop)

    def _decided(self, ids: Sequence[int]) -> int | None:
        """The fewest of the tokens that decide the score."""
        count = len(ids)
        if not is_decided(self._served.decode(ids)):
            return None
        while is_decided(self._served.decode(ids[: count - 1])):
            count -= 1
        return count

    def _answer(self, group: _Group, row: int) -> Answer:
        tokens, asked = group.written[row], len(group.asked[row])
        self.tokens = self.tokens[0] + asked, self.tokens[1] + len(tokens)
        kept = tokens[:-1] if tokens and tokens[-1] in self._served.ends else tokens
        return Answer(self._served.decode(kept), asked, len(tokens))


def _parts(group: list[int]) -> list[list[int]]:
    """Numbers in groups that the engine has slots for."""
    return [group[k : k + _TOGETHER] for k in range(0, len(group), _TOGETHER)]


def question_ids(served: Served, question: Question) -> list[int]:
    """Ids of a question, within the model's turns where it has any."""
    text = question.text
    return served.chat_ids([("user", text)]) if served.talks else served.plain_ids(text)


def preamble(served: Served, prompt: Prompt) -> list[int]:
    """Ids that every question begins with."""
    asked = [question_ids(served, prompt(text, text)) for text in _ANYTHING]
    return list(os.path.commonprefix(asked))


def said(index: int, judgement: Judgement) -> dict[str, Any]:
    """A judgement as JSON, which knows no NaN: a pair without a score has null."""
    score = None if math.isnan(judgement.score) else judgement.score
    details = dict(judgement.details)
    for kind in ("significant", "insignificant"):
        details[kind] = {category: details[kind][category] for category in CATEGORIES}
    return {"object": "judgement", "index": index, "score": score, **details}
