"""Text to ids and back: a tokenizer, and the family's prompt around a study."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from chexjax.data.bpe import read_bpe, read_sentencepiece
from chexjax.families import Chat, PolicyFamily, Template

_FILES = (
    "tokenizer.json",
    "vocab.json",
    "tokenizer.model",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)


def prompt_text(template: Template, images: int, tokens_per_image: int, indication: str) -> str:
    """The prompt of a study, with placeholders where visual tokens will stand.

    Special tokens in the indication are taken out: only the template places them.
    """
    asked = template.question.format(indication=_harmless(template, indication) or "None")
    return _around(template, images, tokens_per_image, asked)


def question_text(template: Template, images: int, tokens_per_image: int, question: str) -> str:
    """The prompt that asks a question of one's own about images, or about none.

    Special tokens in the question are taken out, too.
    """
    return _around(template, images, tokens_per_image, _harmless(template, question))


def _harmless(template: Template, text: str) -> str:
    for token in template.special:
        text = text.replace(token, " ")
    return text.strip()


def _around(template: Template, images: int, tokens_per_image: int, question: str) -> str:
    pixels = template.placeholder * tokens_per_image
    pictures = (template.image.format(number=k + 1, pixels=pixels) for k in range(images))
    opening = template.opening.format(pixels=pixels if images else "")
    return opening + "".join(pictures) + question + template.closing


def chat_text(chat: Chat, turns: Iterable[tuple[str, str]]) -> str:
    """A conversation up to where the model is to answer; turns are (role, text)."""
    said = "".join(chat.turn.format(role=role, text=text) for role, text in turns)
    return chat.start + said + chat.answer


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A tokenizer with a family's template around it."""

    tokenizer: PreTrainedTokenizerFast
    family: PolicyFamily

    @classmethod
    def load(cls, folder: Path, family: PolicyFamily) -> Tokens:
        """Reads a tokenizer folder: `tokenizer.json`, `vocab.json` or `tokenizer.model`.

        Raises:
          ValueError: there is none, its files do not belong together, it has more ids than the
            model has embedding rows, or a special token of the template is not one id of it.
        """
        tokenizer = read_tokenizer(folder, family.template)
        rows = family.decoder.vocabulary
        if len(tokenizer) > rows:
            raise ValueError(
                f"{folder}: {len(tokenizer)} tokens, but {family.name} has {rows} embedding rows; "
                f"use the tokenizer that belongs to the model"
            )
        special = family.template.special
        ids = [tokenizer.encode(token, add_special_tokens=False) for token in special]
        if lacking := [token for token, found in zip(special, ids, strict=True) if len(found) != 1]:
            raise ValueError(
                f"{folder}: no token {', '.join(lacking)}, which prompts of {family.name} need; "
                "use the tokenizer that belongs to the model"
            )
        return cls(tokenizer, family)

    @property
    def end(self) -> int:
        """Id that ends a report."""
        return self._id(self.family.template.end)

    @property
    def placeholder(self) -> int:
        """Id that stands where a visual token goes."""
        return self._id(self.family.template.placeholder)

    @functools.cached_property
    def _vocabulary(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab())

    @functools.cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """What stands before each report and behind its end token."""
        return self._plain(self.family.template.answer), self._plain(self.family.template.after)

    def _id(self, token: str) -> int:
        return self._vocabulary[token]

    def _plain(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def prompt(self, images: int, indication: str) -> list[int]:
        """Ids of the whole prompt of a study that shows `images` images."""
        return self._prompt(prompt_text(self.family.template, images, 1, indication))

    def question(self, images: int, text: str) -> list[int]:
        """Ids of the whole prompt that asks a question of one's own about `images` images."""
        return self._prompt(question_text(self.family.template, images, 1, text))

    def _prompt(self, text: str) -> list[int]:
        """Ids of a prompt: hundreds of placeholders are read as one, repeated in their place."""
        found = self.tokenizer.encode(text, add_special_tokens=False)
        if not self.family.max_images:
            return list(found)
        pixels = self.placeholder
        run = [pixels] * self.family.visual_tokens(1)
        return [k for one in found for k in (run if one == pixels else (one,))]

    def report(self, text: str) -> list[int]:
        """Ids of a report as it is trained on, the end token included.

        Special tokens in the text are plain text.
        """
        _, after = self._around
        return [*self.answer(text), self.end, *after]

    def answer(self, text: str) -> list[int]:
        """Ids of a text as the beginning of an answer, which may go on behind it."""
        before, _ = self._around
        return [*before, *self._plain(text)]

    def text(self, ids: Sequence[int]) -> str:
        """Inverse of `report`, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a folder that say what its tokenizer does."""
    return [folder / name for name in _FILES if (folder / name).is_file()]


def read_tokenizer(folder: Path, template: Template) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder; where its files say nothing of special tokens, the template does.

    Raises:
      ValueError: there is none.
    """
    if not tokenizer_files(folder):
        raise ValueError(f"{folder} has no {_FILES[0]}, {_FILES[1]} or {_FILES[2]}; fetch them too")
    if not (folder / "tokenizer.json").is_file():
        if (folder / "vocab.json").is_file():
            return read_bpe(folder, template)
        if (folder / "tokenizer.model").is_file():
            return read_sentencepiece(folder / "tokenizer.model", template)
    return PreTrainedTokenizerFast.from_pretrained(folder)
