"""A call's answers as they are written: from prompts to pieces of text."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

from chexjax.engine import Request, Written
from chexjax.serve.asked import Asked
from chexjax.serve.model import Served
from chexjax.serve.text import Decoder, Text
from chexjax.serve.worker import Worker


@dataclasses.dataclass(frozen=True)
class Piece:
    """What has come to an answer.

    Attributes:
      choice: Number of the answer.
      text: The new text.
      tokens: The new tokens, without one that ends the answer.
      logps: Their log-probabilities.
      finish: Why it has ended, "stop" or "length"; None if it goes on.
    """

    choice: int
    text: str
    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    finish: str | None


class _Choice:
    """One answer: its text so far, and how many tokens it took."""

    def __init__(self, number: int, text: Text, ends: Sequence[int]) -> None:
        self._number, self._text, self._ends = number, text, ends
        self.tokens, self.said = 0, ""
        self.finish: str | None = None

    def add(self, new: Written) -> Piece:
        text, kept = "", 0
        for token in new.tokens:
            self.tokens += 1
            if token in self._ends:
                self.finish = "stop"
                break
            kept += 1
            text += self._text.add(token)
            if self._text.stopped:
                self.finish = "stop"
                break
        if self.finish is None and new.finish is not None:
            self.finish = "length"
        if self.finish is not None and not self._text.stopped:
            text += self._text.end()
            self.finish = "stop" if self._text.stopped else self.finish
        self.said += text
        return Piece(self._number, text, new.tokens[:kept], new.logps[:kept], self.finish)


class Call:
    """What a client has asked for, on its way through the engine.

    Attributes:
      prompts: Ids.
    """

    def __init__(
        self,
        worker: Worker,
        served: Served,
        prompts: Sequence[Sequence[int]],
        asked: Asked,
        closed: Callable[[Call], None],
    ) -> None:
        """Asks for nothing yet.

        Args:
          worker: Who owns the engine.
          served: The model.
          prompts: Ids; each gets `asked.count` answers, numbered one prompt after the other.
          asked: How they are written.
          closed: Called once, with it, when it is over.
        """
        self._worker, self._served, self._asked = worker, served, asked
        self.prompts, self._closed = prompts, closed
        self._numbers: list[int] = []
        self._news: asyncio.Queue[tuple[int, Written | Exception]] = asyncio.Queue()
        self._choices: list[_Choice] = []

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of the prompts, and those that were written."""
        return sum(map(len, self.prompts)), sum(choice.tokens for choice in self._choices)

    @property
    def texts(self) -> list[str]:
        """The answers so far."""
        return [choice.said for choice in self._choices]

    def start(self, requests: Sequence[Request], *, goes_on: bool) -> Self:
        """Queues the work.

        Args:
          requests: One a prompt.
          goes_on: Whether answers go on in the middle of the prompt's last line.

        Raises:
          Full: too many wait.
          Stopped: the engine does.
        """
        served, asked = self._served, self._asked
        for k in range(len(requests) * asked.count):
            before = self.prompts[k // asked.count] if goes_on else ()
            text = Text(Decoder(served.decode, before), asked.stops)
            self._choices.append(_Choice(k, text, served.ends))
        loop = asyncio.get_running_loop()

        def tell(place: int, news: Written | Exception) -> None:
            loop.call_soon_threadsafe(self._news.put_nowait, (place, news))

        self._numbers = self._worker.submit(requests, tell)
        return self

    async def pieces(self) -> AsyncIterator[Piece]:
        """What comes, until all answers have ended.

        Raises:
          Full: the engine's own queue had no room.
          ValueError: the engine cannot take the request; says why.
          Stopped: the engine's thread has ended.
        """
        count = self._asked.count
        while any(choice.finish is None for choice in self._choices):
            place, news = await self._news.get()
            if isinstance(news, Exception):
                raise news
            choice = self._choices[place * count + news.row]
            if choice.finish is not None:
                continue  # of a row that goes on behind its stop string
            yield choice.add(news)
            mine = self._choices[place * count : (place + 1) * count]
            if all(one.finish is not None for one in mine):
                self._worker.cancel(self._numbers[place])

    def close(self) -> None:
        """Gives up what is not finished."""
        for number in self._numbers:
            self._worker.cancel(number)
        if self._numbers:
            self._numbers = []
            self._closed(self)
