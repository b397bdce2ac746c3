"""Judging by llama.cpp, through llama-cpp-python's bindings of its C functions.

Weights, keys and values are float32; its flash attention, which is not as exact, is off. The cache
is unified, as it advises where sequences share much: what prompts share is read once,
and copying it to another sequence marks its cells. Every token looks at all cells in use, those of
other sequences masked, so requests are written a few groups at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from chexjax.perf import judge_work
from chexjax.perf.judge_work import Size, Work, Write

_BATCH = 16
"""Requests written side by side; of 4, 8, 16 and 32 the quickest."""

_PIECE = 512
"""Tokens of prompts that are computed at once."""

_F32 = 0


class Context:
    """A model in float32 and its cache."""

    def __init__(self, file: Path, *, cells: int, sequences: int, size: Size, threads: int) -> None:
        """Reads the model.

        Args:
          file: Of the model.
          cells: Tokens that the cache holds.
          sequences: As many as share it.
          size: The model's.
          threads: To compute with.
        """
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        options = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), options)
        given = llama_cpp.llama_context_default_params()
        given.n_ctx, given.n_seq_max, given.kv_unified = cells, sequences, True
        given.n_batch = given.n_ubatch = _PIECE
        given.n_threads = given.n_threads_batch = threads
        given.type_k = given.type_v = _F32
        given.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        given.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, given)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(_PIECE, 0, 1)
        self._vocabulary = size.vocabulary

    def clear(self) -> None:
        """Forgets all sequences."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def forget(self, sequence: int) -> None:
        """Forgets one."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def share(self, source: int, target: int) -> None:
        """Has a sequence begin with all that another one holds."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def read(self, texts: np.ndarray, at: int, sequences: Sequence[int]) -> np.ndarray:
        """Continues sequences that are equally long, and gives the likeliest token behind each.

        Args:
          texts: Ids, `i32[rows, T]`.
          at: Tokens that each of them has already.
          sequences: Number of each row's.

        Returns:
          `i32[rows]`.
        """
        rows, length = texts.shape
        every = max(1, _PIECE // length)
        if every < rows:
            parts = [slice(k, k + every) for k in range(0, rows, every)]
            return np.concatenate([self.read(texts[p], at, sequences[p]) for p in parts])
        for first in range(0, length, _PIECE):
            piece = texts[:, first : first + _PIECE]
            last = first + piece.shape[1] == length
            self._compute(piece, at + first, sequences, last)
        logits = np.ctypeslib.as_array(
            llama_cpp.llama_get_logits(self._context), (rows, self._vocabulary)
        )
        return logits.argmax(-1).astype(np.int32)

    def _compute(self, texts: np.ndarray, at: int, sequences: Sequence[int], last: bool) -> None:
        rows, length = texts.shape
        batch, count = self._batch, texts.size
        batch.n_tokens = count
        _array(batch.token, count)[:] = texts.ravel()
        _array(batch.pos, count)[:] = np.tile(np.arange(at, at + length), rows)
        _array(batch.n_seq_id, count)[:] = 1
        wanted = _array(batch.logits, count)
        wanted[:] = 0
        wanted[length - 1 :: length] = last
        for k, sequence in enumerate(np.repeat(sequences, length).tolist()):
            batch.seq_id[k][0] = sequence
        if code := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode returned {code}")


def make_writer(folder: Path, size: Size, work: Work) -> Write:
    """llama.cpp with what prompts share read once."""
    asked = judge_work.prompts(work, size.vocabulary)
    side = min(_BATCH, work.requests) // work.candidates
    rows = side * work.candidates
    context = Context(
        folder / "model.gguf",
        cells=work.preamble + side * work.shared + rows * (work.own + work.new),
        sequences=rows + 1,
        size=size,
        threads=work.threads,
    )
    numbers = list(range(rows))

    def answers(shared: np.ndarray, own: np.ndarray) -> np.ndarray:
        groups, candidates, length = own.shape
        firsts = numbers[: groups * candidates : candidates]
        for first in firsts:
            context.share(rows, first)
        context.read(shared, work.preamble, firsts)
        used = numbers[: groups * candidates]
        for number in used:
            if number % candidates:
                context.share(number - number % candidates, number)
        at = work.preamble + work.shared
        tokens = [context.read(own.reshape(-1, length), at, used)]
        for k in range(work.new - 1):
            tokens.append(context.read(tokens[-1][:, None], at + length + k, used))
        for number in used:
            context.forget(number)
        return np.stack(tokens, axis=1)

    def write() -> np.ndarray:
        context.clear()
        context.read(asked.preamble[None], 0, [rows])
        parts = range(0, work.groups, side)
        written = [answers(asked.shared[g : g + side], asked.own[g : g + side]) for g in parts]
        return np.concatenate(written)

    return write


@llama_cpp.llama_log_callback
def _quiet(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """It would say much."""


def _array(pointer: ctypes._Pointer, count: int) -> np.ndarray:
    return np.ctypeslib.as_array(pointer, (count,))
