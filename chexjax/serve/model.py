"""What is served: a model's tokenizer and turns, and how prompts are laid out for the engine."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from chexjax.data.tokens import Tokens, chat_text
from chexjax.engine import Images, Request, Sampler, Stop
from chexjax.families import Family, TextFamily

Turns = Sequence[tuple[str, str]]
"""(role, text) of each turn of a conversation."""

_LEAST = 64  # tokens of the smallest room of a row


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What is to be gone on from: ids, and the images that stand in them."""

    ids: list[int]
    images: Images | None = None


class TooLong(ValueError):
    """A prompt that the model's context has no room for, with what is to be written."""


@dataclasses.dataclass(frozen=True)
class Served:
    """A model as clients see it.

    Attributes:
      name: What they call it.
      family: Its shapes and turns.
      tokenizer: Its tokenizer.
      ends: Ids that end an answer.
      preamble: Ids that the engine keeps, since many prompts begin with them.
    """

    name: str
    family: TextFamily
    tokenizer: PreTrainedTokenizerFast
    ends: tuple[int, ...]
    preamble: tuple[int, ...] = ()

    @classmethod
    def load(cls, folder: Path, name: str, family: TextFamily) -> Served:
        """Reads what lies beside the weights.

        Raises:
          ValueError: there is no tokenizer, or it says of no token that it ends a text.
        """
        if isinstance(family, Family):
            tokens = Tokens.load(folder, family)
            return cls(name, family, tokens.tokenizer, (tokens.end,))
        if not (folder / "tokenizer.json").is_file():
            raise ValueError(f"{folder} has no tokenizer.json; fetch it too")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        ends = {tokenizer.eos_token_id, *_ends(folder)} - {None}
        if not ends:
            raise ValueError(
                f"{folder}: neither tokenizer_config.json nor generation_config.json says which "
                "token ends a text (eos_token); fetch them too"
            )
        return cls(name, family, tokenizer, tuple(sorted(ends)))

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.family.decoder.context

    @property
    def talks(self) -> bool:
        """Whether it is known how to put turns around a conversation."""
        return self.family.chat is not None or bool(self.tokenizer.chat_template) or self.reports

    @property
    def reports(self) -> bool:
        """Whether it is a policy: it is shown a study, and answers with a report."""
        return isinstance(self.family, Family) and self.family.chat is None

    @property
    def _backend(self) -> Tokenizer:
        return self.tokenizer.backend_tokenizer

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text that the model continues, behind its start token where it has one."""
        chat = self.family.chat
        start = self.plain_ids(chat.start) if chat is not None and chat.start else []
        ids = list(self._backend.encode(text).ids)
        return ids if ids[: len(start)] == start else start + ids

    def plain_ids(self, text: str) -> list[int]:
        """Ids of a text as it is."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def chat_ids(self, turns: Turns) -> list[int]:
        """Ids of a conversation up to where the model answers.

        Special tokens in the turns are taken out: only the template places them.

        Raises:
          ValueError: the model's template has no room for such turns.
        """
        said = [(role, self._without_special(text)) for role, text in turns]
        if self.family.chat is not None:
            return self.plain_ids(chat_text(self.family.chat, said))
        messages = [{"role": role, "content": text} for role, text in said]
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # the template's own, of whatever kind
            raise ValueError(f"the model's template refuses these turns: {error}") from error
        return self.plain_ids(str(text))

    def _without_special(self, text: str) -> str:
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, " ")
        return text

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def spell(self, token: int) -> str:
        """Text of one token, with the blank that may stand in front of it."""
        before = self._anchor
        whole = str(self._backend.decode([*before, token], skip_special_tokens=False))
        return whole[len(str(self._backend.decode(before, skip_special_tokens=False))) :]

    @functools.cached_property
    def _anchor(self) -> list[int]:
        return self.plain_ids("a")

    def request(
        self,
        prompt: Sequence[int],
        limit: int,
        sampler: Sampler,
        seeds: Sequence[int],
        images: Images | None = None,
    ) -> Request:
        """What the engine is asked for: as many answers to a prompt as there are seeds.

        Raises:
          TooLong: the context has no room for it.
        """
        if images is not None:
            request = self._laid_out(list(prompt), [[] for _ in seeds], limit, sampler, seeds)
            return dataclasses.replace(request, images=images)
        count = len(self.preamble) if self._shares(prompt) else 0
        shared, rest = list(prompt[:count]), list(prompt[count:])
        several = len(seeds) > 1
        prefix, row = (list(prompt), []) if several else (shared, rest)
        return self._laid_out(prefix, [row] * len(seeds), limit, sampler, seeds)

    def group(
        self,
        prompts: Sequence[Sequence[int]],
        limit: int,
        sampler: Sampler,
        seeds: Sequence[int],
        stop: Stop | None,
    ) -> Request:
        """An answer to each of several prompts, which begin alike.

        Raises:
          TooLong: the context has no room for one of them.
        """
        if len(prompts) == 1:
            request = self.request(prompts[0], limit, sampler, seeds)
            return dataclasses.replace(request, stop=_either(request.stop, stop))
        same = len(os.path.commonprefix([list(prompt) for prompt in prompts]))
        same = min(same, min(map(len, prompts)) - 1)
        rows = [list(prompt[same:]) for prompt in prompts]
        request = self._laid_out(list(prompts[0][:same]), rows, limit, sampler, seeds)
        return dataclasses.replace(request, stop=_either(request.stop, stop))

    def _shares(self, prompt: Sequence[int]) -> bool:
        count = len(self.preamble)
        return count < len(prompt) and tuple(prompt[:count]) == self.preamble

    def _laid_out(
        self,
        prefix: list[int],
        rows: list[list[int]],
        limit: int,
        sampler: Sampler,
        seeds: Sequence[int],
    ) -> Request:
        """A request whose rows have a room out of a few.

        Clients ask for any number of tokens, and a program is compiled for each room. So a row
        gets more than it was asked for, and ends where it was asked to.
        """
        longest = max(map(len, rows))
        prompt, own = len(prefix) + longest, max(longest, 1)
        if prompt + limit > self.context:
            raise TooLong(
                f"the model's context has room for {self.context} tokens, but the prompt has "
                f"{prompt} and {limit} more are to be written"
            )
        return Request(
            prefix=prefix,
            rows=rows,
            limit=min(_room(own + limit) - own, self.context - prompt),
            sampler=sampler,
            seeds=seeds,
            end=self.ends,
            stop=lambda said: limit if len(said) >= limit else None,
        )


def _either(one: Stop | None, other: Stop | None) -> Stop:
    """Ends where the first of both does."""

    def stop(said: Sequence[int]) -> int | None:
        kept = [count for stop in (one, other) if stop and (count := stop(said)) is not None]
        return min(kept, default=None)

    return stop


def _room(tokens: int) -> int:
    """The least of 64, 96, 128, 192, 256, ... that holds so many."""
    size = max(_LEAST, 1 << (tokens - 1).bit_length())
    return size * 3 // 4 if tokens <= size * 3 // 4 and size > _LEAST else size


def _ends(folder: Path) -> list[int]:
    """The ends that a generation config names."""
    file = folder / "generation_config.json"
    if not file.is_file():
        return []
    try:
        said: Any = json.loads(file.read_text("utf-8")).get("eos_token_id")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} is no JSON object; fetch it again") from error
    return [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, int)]
