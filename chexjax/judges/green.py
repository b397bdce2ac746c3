"""GREEN: a language model that lists matched findings and errors (Ostmeier et al., 2024,
arXiv:2405.03595), whoever writes its answers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from chexjax.artefacts.files import sha256
from chexjax.config import local as unhashed
from chexjax.judges.answer import parse_judgement
from chexjax.judges.base import Judgement, check_pairs
from chexjax.judges.local import Local, LocalWriter
from chexjax.judges.prompt import Prompt, Question, official_prompt, read_prompt, shorten
from chexjax.judges.remote import Endpoint, RemoteWriter
from chexjax.judges.store import Answer, Answers, key_of

Unreadable = Literal["exclude", "published"]

Pair = tuple[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GreenConfig:
    """How GREEN is asked.

    Attributes:
      endpoint: The server that writes its answers, where it has a URL or a model.
      local: The model that writes them here, where it has not.
      question: File with the question, `{reference}` and `{candidate}` in it. Where it is empty, a
        judge that was trained here has its own, and others are asked GREEN's, which is read from an
        installed radeval (extra `green`).
      unreadable: What becomes of a pair whose answers, two of them, cannot be read: "exclude" gives
        it no score, "published" the published parser's, which may be 0 or 1 for want of anything
        to count.
      answers: SQLite file that keeps answers, of any number of runs. Where it is empty, a run has
        one in its workdir, and without a run they live as long as the judge.
    """

    endpoint: Endpoint = Endpoint()
    local: Local = Local()
    question: str = unhashed("")
    unreadable: Unreadable = "exclude"
    answers: str = unhashed("")

    @property
    def remote(self) -> bool:
        """Whether a server answers."""
        return bool(self.endpoint.url or self.endpoint.model)

    def prompt(self) -> Prompt:
        """What is asked.

        Raises:
          ValueError: it cannot be read.
        """
        if self.question:
            return read_prompt(Path(self.question))
        return official_prompt() if self.remote else self.local.prompt()

    def build(self) -> Green:
        """The judge.

        Raises:
          ValueError: a field that nothing can be asked with.
        """
        writer = RemoteWriter(self.endpoint) if self.remote else None
        prompt = self.prompt()
        return Green(
            writer or LocalWriter(self.local, prompt),
            prompt,
            Answers(Path(self.answers) if self.answers else None),
            unreadable=self.unreadable,
        )

    def files(self) -> dict[str, str]:
        """Digests of the question and of a judge that runs here.

        Raises:
          ValueError: they cannot be read.
        """
        found = {"question": sha256(Path(self.question))} if self.question else {}
        if not self.remote:
            found["judge"] = key_of(*LocalWriter(self.local, self.prompt()).identity)
        return found


class Writer(Protocol):
    """Writes the answers of a judge."""

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What decides its answers, beside the question."""
        ...

    def write(
        self, questions: Sequence[Question], keep: Callable[[int, Answer], None], *, again: bool
    ) -> None:
        """Hands `keep` the number and the answer of each question; `again` for a second try."""
        ...


class Green:
    """A judge that asks a writer, reads its answers, and asks for none of them twice."""

    name = "GREEN"

    def __init__(
        self,
        writer: Writer,
        prompt: Prompt,
        answers: Answers | None = None,
        *,
        unreadable: Unreadable = "exclude",
    ) -> None:
        """Puts the parts together.

        Args:
          writer: Who answers.
          prompt: What is asked.
          answers: Where answers are kept, for as long as the object lives without it.
          unreadable: What becomes of answers that cannot be read.
        """
        self._writer, self._prompt, self._unreadable = writer, prompt, unreadable
        self._answers = Answers() if answers is None else answers
        self._identity = key_of(*writer.identity, *dataclasses.astuple(prompt))

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement per pair; of equal pairs one is asked for.

        An answer that is not well formed is asked for once more. `details` has what
        `parse_judgement` says, the raw `answer`, `tries`, and `tokens` as [asked, written].

        Raises:
          ValueError: lengths differ, or a reference is empty.
          JudgeError: the writer gives no answers.
        """
        check_pairs(references, candidates)
        pairs = [(shorten(r), shorten(c)) for r, c in zip(references, candidates, strict=True)]
        verdicts = self._ask(list(dict.fromkeys(pairs)), tries=1)
        verdicts |= self._ask([p for p, v in verdicts.items() if not _readable(v)], tries=2)
        return [self._ruled(verdicts[pair]) for pair in pairs]

    def _ask(self, pairs: Sequence[Pair], *, tries: int) -> dict[Pair, Judgement]:
        """Verdicts on different pairs, from the store where it has them."""
        keys = {pair: key_of(self._identity, *pair, tries) for pair in pairs}
        found = self._answers.get(keys.values())
        missing = [pair for pair in pairs if keys[pair] not in found]

        def keep(number: int, answer: Answer) -> None:
            key = keys[missing[number]]
            self._answers.put(key, answer)
            found[key] = answer

        if missing:
            self._writer.write([self._prompt(*pair) for pair in missing], keep, again=tries > 1)
        return {pair: _read(found[keys[pair]], tries) for pair in pairs}

    def _ruled(self, verdict: Judgement) -> Judgement:
        if self._unreadable == "published" or _readable(verdict):
            return verdict
        return dataclasses.replace(verdict, score=math.nan)


def _read(answer: Answer, tries: int) -> Judgement:
    verdict = parse_judgement(answer.text)
    more = {"answer": answer.text, "tries": tries, "tokens": [answer.asked, answer.written]}
    return Judgement(verdict.score, {**verdict.details, **more})


def _readable(verdict: Judgement) -> bool:
    return bool(verdict.details["well_formed"])
