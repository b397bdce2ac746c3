"""A judge's answers, written by the engine."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from chexjax.data.tokens import chat_text
from chexjax.engine import Completion, Engine, EngineConfig, Likely, Request, Sampler, Stop
from chexjax.families import Chat
from chexjax.judges.answer import (
    AGAIN_SEED,
    AGAIN_TEMPERATURE,
    CATEGORIES,
    is_decided,
    judgement,
    write_judgement,
)
from chexjax.judges.prompt import Prompt, Question
from chexjax.judges.store import Answer
from chexjax.models import LanguageModel

_AGAIN = Sampler(temperature=AGAIN_TEMPERATURE)

_TOGETHER = 4
"""Most questions about one reference that go side by side."""

_ANYTHING = ("no acute disease", "heart size is normal")
"""Two texts that begin differently: what questions about them share, all questions do."""


class EngineWriter:
    """Writes a judge's answers, those about one reference side by side."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        *,
        identity: Sequence[str | int],
        limit: int,
        chat: Chat | None = None,
        full: bool = False,
        config: EngineConfig = EngineConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """Puts an engine around a judge.

        Args:
          model: The judge.
          tokenizer: Its own.
          prompt: What it will be asked, whose beginning is read once for all.
          identity: What decides its answers, beside the question.
          limit: Most tokens of an answer.
          chat: Turns around a question; nothing without.
          full: Write answers to their end; without, until the score is decided.
          config: How the engine batches.
        """
        self._tokenizer, self._chat, self._limit = tokenizer, chat, limit
        self._stop: Stop | None = None if full else self._decided
        self._identity = (*identity, limit, int(full))
        asked = [self._ids(prompt(text, text)) for text in _ANYTHING]
        self._engine = Engine(model, config, _common(asked), likely_text(tokenizer))

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What decides its answers, beside the question."""
        return self._identity

    def write(
        self, questions: Sequence[Question], keep: Callable[[int, Answer], None], *, again: bool
    ) -> None:
        """Answers questions.

        Args:
          questions: What to ask.
          keep: Gets the number of each question and its answer.
          again: Draw an answer in place of the likeliest.

        Raises:
          ValueError: a question is too long for the judge.
        """
        asked = [self._ids(question) for question in questions]
        alike: dict[str, list[int]] = collections.defaultdict(list)
        for number, question in enumerate(questions):
            alike[question.shared].append(number)
        groups = [part for group in alike.values() for part in _parts(group)]
        requests = [self._request([asked[number] for number in group], again) for group in groups]
        for k, completions in self._engine.run(requests):
            for number, completion in zip(groups[k], completions, strict=True):
                keep(number, self._answer(asked[number], completion))

    def _request(self, asked: Sequence[list[int]], again: bool) -> Request:
        shared = min(len(_common(asked)), min(map(len, asked)) - 1)
        return Request(
            prefix=asked[0][:shared],
            rows=[ids[shared:] for ids in asked],
            limit=self._limit,
            end=(int(self._tokenizer.eos_token_id),),
            stop=self._stop,
            sampler=_AGAIN if again else Sampler(temperature=0.0),
            seeds=[AGAIN_SEED] * len(asked),
        )

    def _ids(self, question: Question) -> list[int]:
        text = question.text
        if self._chat is not None:
            text = chat_text(self._chat, [("user", text)])
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _answer(self, asked: Sequence[int], completion: Completion) -> Answer:
        return Answer(self._text(completion.tokens), len(asked), len(completion.tokens))

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _decided(self, ids: Sequence[int]) -> int | None:
        """The fewest of the tokens that decide the score."""
        count = len(ids)
        if not is_decided(self._text(ids)):
            return None
        while is_decided(self._text(ids[: count - 1])):
            count -= 1
        return count


def likely_text(tokenizer: PreTrainedTokenizerBase) -> Likely:
    """A judgement that finds nothing, to draft from; its counts are not what every answer says."""
    none = dict.fromkeys(CATEGORIES, 0)
    text = write_judgement(judgement(0, none, none, []), "")
    counts = [found.start() for found in re.finditer(r"(?<=[ \n])0\.", text)]
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = read["offset_mapping"]
    fixed = [not any(start <= at < end for at in counts) for start, end in spans]
    return Likely(ids=read["input_ids"], fixed=fixed)


def _parts(group: list[int]) -> list[list[int]]:
    """Numbers in groups that the engine has slots for."""
    return [group[k : k + _TOGETHER] for k in range(0, len(group), _TOGETHER)]


def _common(texts: Sequence[list[int]]) -> list[int]:
    """The ids that all begin with."""
    return list(os.path.commonprefix(list(texts)))
