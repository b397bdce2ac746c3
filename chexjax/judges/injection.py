"""Candidates with errors put into them, as content, and as a policy's slips put them into text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from chexjax.data.phantom import grammar
from chexjax.data.phantom.findings import KINDS, Finding
from chexjax.data.phantom.grammar import CHANGES, Content
from chexjax.data.phantom.paraphrases import SYNONYMS
from chexjax.judges.answer import CATEGORIES

_WORDS = """
no not without with and or there is are but normal clear unchanged worse improved stable prior left
right bilateral both small mild moderate large severe upper mid lower the a of in heart mediastinum
lungs bones effusion pneumothorax consolidation atelectasis edema nodule mass fracture pacemaker
catheter cardiomegaly enlarged . ,
""".split()  # noqa: SIM905


def inject(
    content: Content, category: str, kinds: Sequence[str], rng: np.random.Generator
) -> Content:
    """Puts one error into what a report says, where there is room for it.

    Args:
      content: What the reference says.
      category: One of GREEN's, `"a"` to `"f"`.
      kinds: What false findings can be.
      rng: Source of the choices.

    Returns:
      The content with the error; as it was where it has nothing to get wrong in that way.
    """
    return _INJECTIONS[category](content, kinds, rng)


def _false(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    absent = [k for k in kinds if k not in {f.kind for f in content.findings}]
    if not absent:
        return content
    kind = pick(absent, rng)
    table = KINDS[kind]
    options = {"side": table.sides, "severity": table.severities, "zone": table.zones}
    made = Finding(kind=kind, **{name: pick(x, rng) for name, x in options.items() if x})
    denied = tuple(tuple(k for k in d if k != kind) for d in content.denied)
    return dataclasses.replace(
        content, findings=(*content.findings, made), denied=tuple(d for d in denied if d)
    )


def _missing(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    if not content.findings:
        return content
    gone = int(rng.integers(len(content.findings)))
    return dataclasses.replace(
        content, findings=tuple(f for k, f in enumerate(content.findings) if k != gone)
    )


def _misplaced(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    return _changed(content, ("side", "zone"), rng)


def _misgraded(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    return _changed(content, ("severity",), rng)


def _changed(content: Content, fields: Sequence[str], rng: np.random.Generator) -> Content:
    """Another value for one of the fields of one of the findings that has any."""
    found = [
        (k, field, [x for x in options if x != getattr(f, field)])
        for k, f in enumerate(content.findings)
        for field, options in _options(f).items()
        if field in fields and options
    ]
    if not found:
        return content
    place, field, options = found[int(rng.integers(len(found)))]
    findings = list(content.findings)
    findings[place] = dataclasses.replace(findings[place], **{field: pick(options, rng)})
    return dataclasses.replace(content, findings=tuple(findings))


def _options(finding: Finding) -> dict[str, tuple[str, ...]]:
    table = KINDS[finding.kind]
    return {"side": table.sides, "severity": table.severities, "zone": table.zones}


def _added(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    others = [change for change in CHANGES if change != content.comparison]
    return dataclasses.replace(content, comparison=pick(others, rng))


def _omitted(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    return dataclasses.replace(content, comparison=None)


_INJECTIONS = dict(
    zip(CATEGORIES, (_false, _missing, _misplaced, _misgraded, _added, _omitted), strict=True)
)


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


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options, each as likely as another."""
    return options[int(rng.integers(len(options)))]
