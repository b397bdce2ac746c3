"""The work that judging is measured by: long prompts that share much, and greedy answers.

Candidate reports are judged against a reference that several of them share, behind a preamble that
all share. Nothing ends an answer early, so all answers are equally long. Models have LLaMA's shape,
float32 and random parameters. Everything is explicit, so that any framework can do the same work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chexjax.families import TextFamily, llama
from chexjax.perf import flops

SEED = 20240917
"""Of parameters and prompts."""

Write = Callable[[], np.ndarray]
"""Reads all prompts anew and writes all answers, `i32[requests, new]`."""

_FIRST = 10  # the first id that is no special token


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A judge's shape.

    Attributes:
      layers: Depth.
      width: Of the residual stream.
      heads: As many for keys and values.
      mlp: Width of the gated MLP.
      vocabulary: Rows of the embedding and of the head, which are not tied.
    """

    layers: int
    width: int
    heads: int
    mlp: int
    vocabulary: int = 32_000


SIZES = {
    "S": Size(layers=4, width=256, heads=4, mlp=704),
    "M": Size(layers=8, width=512, heads=8, mlp=1408),
    "L": Size(layers=12, width=768, heads=12, mlp=2048),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What is asked, in tokens.

    Attributes:
      requests: Candidates that are judged; groups of one reference are whole.
      candidates: Of one reference.
      preamble: In front of every reference.
      reference: Shared by its candidates.
      between: Behind every reference, the same in all prompts.
      candidate: Of one request alone.
      after: Behind every candidate, the same in all prompts.
      new: Written to each request.
      threads: That a judge may compute with.
    """

    requests: int = 32
    candidates: int = 4
    preamble: int
    reference: int
    between: int = 0
    candidate: int
    after: int = 0
    new: int
    threads: int = 2

    def __post_init__(self) -> None:
        """Checks that groups are whole."""
        if self.requests % self.candidates:
            raise ValueError(
                f"requests={self.requests} must be a multiple of candidates={self.candidates}"
            )

    @property
    def groups(self) -> int:
        """References."""
        return self.requests // self.candidates

    @property
    def shared(self) -> int:
        """Tokens behind the preamble that the candidates of a reference share."""
        return self.reference + self.between

    @property
    def own(self) -> int:
        """Prompt tokens of a request alone."""
        return self.candidate + self.after

    @property
    def prompt(self) -> int:
        """Tokens of one prompt."""
        return self.preamble + self.shared + self.own

    @property
    def asked(self) -> int:
        """Prompt tokens of all requests."""
        return self.requests * self.prompt

    @property
    def distinct(self) -> int:
        """Prompt tokens, those that prompts share counted once."""
        return self.preamble + self.groups * self.shared + self.requests * self.own

    @property
    def written(self) -> int:
        """New tokens of all requests."""
        return self.requests * self.new


WORKS = {
    "prefix": Work(preamble=600, reference=120, candidate=100, new=160),
    # GREEN's question goes on behind the candidate, where nothing of it can be shared.
    "green": Work(preamble=284, reference=100, between=13, candidate=100, after=247, new=443),
}


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Token ids.

    Attributes:
      preamble: `i32[P]`.
      shared: Of each reference, `i32[G, R]`.
      own: Of each candidate, `i32[G, N, C]`.
    """

    preamble: np.ndarray
    shared: np.ndarray
    own: np.ndarray

    def whole(self) -> np.ndarray:
        """One prompt a request, group by group, `i32[G * N, P + R + C]`."""
        groups, candidates, _ = self.own.shape
        preamble = np.broadcast_to(self.preamble, (groups, candidates, len(self.preamble)))
        shared = np.broadcast_to(self.shared[:, None], (groups, candidates, self.shared.shape[1]))
        return np.concatenate([preamble, shared, self.own], -1).reshape(groups * candidates, -1)


def prompts(work: Work, vocabulary: int) -> Prompts:
    """Random ids, always the same ones."""
    rng = np.random.default_rng(SEED)

    def draw(*shape: int) -> np.ndarray:
        return rng.integers(_FIRST, vocabulary, shape, np.int32)

    def behind(texts: np.ndarray, constant: np.ndarray) -> np.ndarray:
        same = np.broadcast_to(constant, (*texts.shape[:-1], len(constant)))
        return np.concatenate([texts, same], -1)

    return Prompts(
        draw(work.preamble),
        behind(draw(work.groups, work.reference), draw(work.between)),
        behind(draw(work.groups, work.candidates, work.candidate), draw(work.after)),
    )


def family(size: Size, work: Work) -> TextFamily:
    """The judge of a size, with a context that the work just fits in."""
    return llama.llama(
        "bench_judge",
        layers=size.layers,
        width=size.width,
        heads=size.heads,
        kv_heads=size.heads,
        mlp=size.mlp,
        vocabulary=size.vocabulary,
        context=work.prompt + work.new,
    )


def useful_flops(size: Size, work: Work) -> float:
    """Operations that the work cannot do without: tokens that prompts share are read once.

    The last new token of a request is read by nobody.
    """
    judge = family(size, work)
    parts = (
        (1, 0, work.preamble),
        (work.groups, work.preamble, work.shared),
        (work.requests, work.preamble + work.shared, work.own - 1),
    )
    read = sum(count * flops.reading(judge, start, tokens) for count, start, tokens in parts)
    return read + work.requests * flops.writing(judge, work.prompt - 1, work.new)


def useful_bytes(size: Size, work: Work) -> float:
    """Bytes that come from memory at the least if all requests are written side by side.

    Every token that is written needs all parameters but the embedding once, and the keys and
    values before it, shared ones once; reading prompts in one piece needs the parameters once more.
    """
    judge = family(size, work)
    parameters = flops.matmul_parameters(judge)
    token = 2 * judge.decoder.layers * judge.decoder.block.kv
    seen = work.distinct + work.requests * (work.new - 1) / 2
    return 4.0 * ((work.new + 1) * parameters + work.new * seen * token)
