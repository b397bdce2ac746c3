"""Reports written anew, and with slips in their text as a policy makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chexjax.data.phantom import grammar
from chexjax.data.phantom.grammar import Content, pick
from chexjax.data.phantom.paraphrases import SYNONYMS

_WORDS = """
no not without with and or there is are but normal clear unchanged worse improved stable prior left
right bilateral both small mild moderate large severe upper mid lower the a of in heart mediastinum
lungs bones effusion pneumothorax consolidation atelectasis edema nodule mass fracture pacemaker
catheter cardiomegaly enlarged . ,
""".split()  # noqa: SIM905


def replan(content: Content, rng: np.random.Generator) -> Content:
    """The same findings and comparison; what else is said to be normal is chosen anew."""
    made = grammar.plan(content.findings, rng)
    return dataclasses.replace(made, comparison=content.comparison)


def slip(report: str, other: str, rng: np.random.Generator) -> str:
    """A report with a slip of the kind that language models make.

    It is cut short, says a sentence twice, runs on into another report, contradicts itself, or
    loses, swaps or garbles words.

    Args:
      report: The report.
      other: Another one, to run on into.
      rng: Source of the choices.
    """
    return _SLIPS[int(rng.integers(len(_SLIPS)))](report, other, rng)


def _cut(report: str, other: str, rng: np.random.Generator) -> str:
    words = report.split()
    return " ".join(words[: int(rng.integers(len(words) + 1))])


def _repeated(report: str, other: str, rng: np.random.Generator) -> str:
    sentences = _sentences(report)
    again = sentences[int(rng.integers(len(sentences)))]
    sentences.insert(int(rng.integers(len(sentences) + 1)), again)
    return " ".join(sentences)


def _mixed(report: str, other: str, rng: np.random.Generator) -> str:
    """Sentences of another report among its own, which they may contradict."""
    sentences, more = _sentences(report), _sentences(other)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(sentences) + 1))
        sentences.insert(at, more[int(rng.integers(len(more)))])
    return " ".join(sentences)


def _dropped(report: str, other: str, rng: np.random.Generator) -> str:
    keep = rng.random(len(report.split())) > rng.choice([0.05, 0.15, 0.3])
    return " ".join(word for word, kept in zip(report.split(), keep, strict=True) if kept)


def _swapped(report: str, other: str, rng: np.random.Generator) -> str:
    """Words that matter in the places of others."""
    words = report.split()
    for _ in range(int(rng.integers(1, 4))):
        words[int(rng.integers(len(words)))] = pick(_WORDS, rng)
    return " ".join(words)


def _babble(report: str, other: str, rng: np.random.Generator) -> str:
    """A sentence of nothing but words that matter."""
    sentences = _sentences(report)
    words = [pick(_WORDS, rng) for _ in range(int(rng.integers(3, 10)))]
    sentences.insert(int(rng.integers(len(sentences) + 1)), " ".join(words) + ".")
    return " ".join(sentences)


_SLIPS: tuple[Callable[[str, str, np.random.Generator], str], ...] = (
    _cut,
    _repeated,
    _mixed,
    _mixed,
    _dropped,
    _swapped,
    _swapped,
    _babble,
)


def vary(report: str, rng: np.random.Generator, share: float = 0.3) -> str:
    """The report with some words in the places of which others stand that mean the same."""
    words = report.split(" ")
    for k, word in enumerate(words):
        options = SYNONYMS.get(word.lower())
        if options and rng.random() < share:
            new = pick(options, rng)
            words[k] = new.capitalize() if word[0].isupper() else new
    return " ".join(words)


def _sentences(report: str) -> list[str]:
    parts = report.split(". ")
    return [p if p.endswith(".") else p + "." for p in parts]
