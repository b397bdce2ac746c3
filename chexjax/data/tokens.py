"""Text to ids and back: a small byte-level BPE, and the family's prompt around a study."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from chexjax.families import Family, Template


def train_bpe(texts: Iterable[str], template: Template, vocabulary: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE that has exactly as many ids as the model has embedding rows.

    Args:
      texts: Training texts; their order does not matter.
      template: Gives the special tokens, which get the first ids.
      vocabulary: Number of ids; what the texts cannot fill becomes `<|extra_k|>`.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(template.special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(sorted(texts), trainer)
    bpe.add_special_tokens([f"<|extra_{k}|>" for k in range(vocabulary - bpe.get_vocab_size())])
    return _wrapped(bpe, template)


def read_bpe(folder: Path, template: Template) -> PreTrainedTokenizerFast:
    """A byte-level BPE from `vocab.json`, `merges.txt` and, where it is there, `added_tokens.json`.

    So a tokenizer that is published as Python code (CheXagent-2's) is read without running it.

    Raises:
      ValueError: an added token would get another id than the file says, or a special token of
        the template is nowhere.
    """
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    bpe = Tokenizer(models.BPE.from_file(*files))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    file = folder / "added_tokens.json"
    added: dict[str, int] = json.loads(file.read_text()) if file.is_file() else {}
    for token, number in sorted(added.items(), key=lambda item: item[1]):
        bpe.add_tokens([AddedToken(token, normalized=False, special=token in template.special)])
        if bpe.token_to_id(token) != number:
            raise ValueError(
                f"{file}: {token!r} is said to be {number} but comes to be "
                f"{bpe.token_to_id(token)}; fetch all tokenizer files from the same revision"
            )
    if lacking := [token for token in template.special if bpe.token_to_id(token) is None]:
        raise ValueError(f"{folder}: no token {', '.join(lacking)}; fetch added_tokens.json too")
    bpe.add_special_tokens(list(template.special))
    return _wrapped(bpe, template)


def _wrapped(bpe: Tokenizer, template: Template) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=template.end,
        pad_token=template.end,
        additional_special_tokens=[t for t in template.special if t != template.end],
        clean_up_tokenization_spaces=False,
    )


def prompt_text(template: Template, images: int, tokens_per_image: int, indication: str) -> str:
    """The prompt of a study, with placeholders where visual tokens will stand.

    Special tokens in the indication are taken out: only the template places them.
    """
    for token in template.special:
        indication = indication.replace(token, " ")
    pixels = template.placeholder * tokens_per_image
    pictures = (template.image.format(number=k + 1, pixels=pixels) for k in range(images))
    question = template.question.format(indication=indication.strip() or "None")
    opening = template.opening.format(pixels=pixels if images else "")
    return opening + "".join(pictures) + question + template.closing


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A tokenizer with a family's template around it."""

    tokenizer: PreTrainedTokenizerFast
    family: Family

    @classmethod
    def load(cls, folder: Path, family: Family) -> Tokens:
        """Reads a tokenizer folder in Hugging Face format, with `tokenizer.json` or BPE files.

        Raises:
          ValueError: the tokenizer has more ids than the model has embedding rows, or its files
            do not belong together.
        """
        whole = (folder / "tokenizer.json").is_file() or not (folder / "vocab.json").is_file()
        if whole:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        else:
            tokenizer = read_bpe(folder, family.template)
        rows = family.decoder.vocabulary
        if len(tokenizer) > rows:
            raise ValueError(
                f"{folder}: {len(tokenizer)} tokens, but {family.name} has {rows} embedding rows; "
                f"use the tokenizer that belongs to the model"
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

    def _id(self, token: str) -> int:
        return self._vocabulary[token]

    def prompt(self, images: int, indication: str) -> list[int]:
        """Ids of the whole prompt of a study that shows `images` images."""
        text = prompt_text(self.family.template, images, self.family.visual_tokens(1), indication)
        return self.tokenizer.encode(text, add_special_tokens=False)

    def report(self, text: str) -> list[int]:
        """Ids of a report, the end token included; special tokens in the text are plain text."""
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return [*ids, self.end]

    def text(self, ids: Sequence[int]) -> str:
        """Inverse of `report`, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
