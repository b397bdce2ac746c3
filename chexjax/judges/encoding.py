"""Texts through a local encoder, in a handful of fixed shapes: token ids in, hidden states out."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.data.tokens import tokenizer_files
from chexjax.judges.program import Program, program
from chexjax.judges.store import key_of_files
from chexjax.mesh import current_mesh
from chexjax.models import Encoder
from chexjax.weights import load_model, open_checkpoint
from chexjax.weights.encoders import local_encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHORTEST = 32  # tokens of the narrowest program; each wider one is twice as wide
_TOKENS = {"cpu": 2048}  # of one program's batch, padding included
_TOKENS_ELSEWHERE = 16384

Shape = tuple[int, ...]
"""Of one text in a program's batch, padding included."""


def program_width(length: int, limit: int) -> int:
    """Width of the program that takes `length` tokens: a power of two, at most `limit`."""
    return min(max(_SHORTEST, 1 << math.ceil(math.log2(max(length, 1)))), limit)


def batches(shapes: Sequence[Shape]) -> Iterator[tuple[Shape, int, list[int]]]:
    """Cuts work into batches of one shape each.

    Args:
      shapes: Of each item.

    Yields:
      Shape, rows of the program, and the numbers of the items, no more than there are rows.
    """
    most = _TOKENS.get(jax.default_backend(), _TOKENS_ELSEWHERE)
    for shape in sorted(set(shapes)):
        rows = max(1, most // math.prod(shape))
        items = [k for k, one in enumerate(shapes) if one == shape]
        yield from ((shape, rows, items[k : k + rows]) for k in range(0, len(items), rows))


def cut(ids: Sequence[int], limit: int) -> list[int]:
    """A text's ids, of too many the first and, since it ends all texts, the last."""
    return list(ids) if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def padded(
    ids: Sequence[Sequence[int]], limit: int
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Token ids of texts in batches of few shapes.

    Args:
      ids: Of each text, no more than `limit`.
      limit: Most tokens of a text.

    Yields:
      The numbers of the texts, their ids `i32[B, T]` and their lengths `i32[B]`. B is that of the
      program: rows without a text have one token.
    """
    for (width,), rows, items in batches([(program_width(len(one), limit),) for one in ids]):
        tokens, lengths = np.zeros((rows, width), np.int32), np.ones(rows, np.int32)
        for row, item in enumerate(items):
            lengths[row] = len(ids[item])
            tokens[row, : lengths[row]] = ids[item]
        yield items, tokens, lengths


class TextEncoder:
    """A BERT, RoBERTa or DistilBERT in a folder, up to one of its layers.

    Its weights are loaded when the first text comes.
    """

    def __init__(self, folder: Path, layer: int) -> None:
        """Reads what the folder says of the encoder.

        Args:
          folder: The encoder, with its tokenizer.
          layer: The layer whose output is wanted, from 1.

        Raises:
          ValueError: there is no encoder of so many layers, or no tokenizer.
        """
        self.folder, self._family = folder, local_encoder(folder, layers=layer)
        word_files(folder)

    @property
    def limit(self) -> int:
        """Most tokens of a text; what is beyond them is cut off."""
        spec = self._family.encoder
        return min(spec.positions - spec.offset, self._tokenizer.model_max_length)

    @functools.cached_property
    def special(self) -> frozenset[int]:
        """Ids that stand around every text."""
        return frozenset(self.ids([""])[0])

    @functools.cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return tokenizer_of(self.folder)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, uncut; special tokens in a text are plain text.

        RoBERTa's first word is read with a blank in front, like all others.
        """
        front = " " if self._family.encoder.offset else ""
        stripped = [front + text.strip() if text.strip() else "" for text in texts]
        found: list[list[int]] = self._tokenizer(
            stripped, padding=False, truncation=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        return found

    def cut(self, ids: Sequence[int]) -> list[int]:
        """As many of a text's ids as the encoder reads, its last one kept."""
        return cut(ids, self.limit)

    def hidden(self, ids: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Hidden states of texts that are cut, unit length, `f32[T, D]` each."""
        found: list[np.ndarray] = [np.empty(0)] * len(ids)
        for items, tokens, lengths in padded(ids, self.limit):
            hidden = self._run(tokens, lengths)
            for row, item in enumerate(items):
                found[item] = hidden[row, : lengths[row]].copy()
        return found

    @functools.cached_property
    def _run(self) -> Program:
        """Token ids `i32[B, T]` and lengths `i32[B]` to `f32[B, T, D]`."""
        return program(load_model(self.folder, self._family, mesh=current_mesh()), _unit_states)


def _unit_states(model: Encoder, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """Hidden states of unit length."""
    hidden = model(tokens, jnp.arange(tokens.shape[1]) < lengths[:, None])
    return hidden / jnp.linalg.norm(hidden, axis=-1, keepdims=True)


def word_files(folder: Path) -> list[Path]:
    """What a tokenizer consists of, WordPiece's own list of words too.

    Raises:
      ValueError: there is none in the folder.
    """
    words = folder / "vocab.txt"
    found = [*tokenizer_files(folder), *([words] if words.is_file() else [])]
    if not found:
        raise ValueError(f"{folder} has no vocab.txt or tokenizer.json; fetch the tokenizer too")
    return found


def tokenizer_of(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of an encoder's folder; where no config says whose it is, a BERT's.

    Raises:
      ValueError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer, BertTokenizer  # torch comes along where it is installed

    word_files(folder)
    kind = AutoTokenizer if (folder / "config.json").is_file() else BertTokenizer
    try:
        found: PreTrainedTokenizerBase = kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"the tokenizer in {folder} cannot be read: {error}") from error
    return found


def encoder_digest(folder: Path) -> str:
    """A digest of all bytes that decide what an encoder makes of a text.

    Raises:
      ValueError: its weights cannot be read.
    """
    return key_of_files(*open_checkpoint(folder).files, folder / "config.json", *word_files(folder))
