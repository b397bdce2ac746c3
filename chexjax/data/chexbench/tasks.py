"""The six perception tasks of CheXbench, made of studies about which the truth is known.

Each task has the options of the official one: three views; yes and no; four labels; four sets of
labels; two to four answers; two statements that differ in one word of place or severity. What a
study is asked follows from seed, task and study id alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chexjax.data.chexbench.questions import (
    BINARY,
    MULTIPLE,
    REASONING,
    SINGLE,
    VIEW,
    VQA,
    Question,
)
from chexjax.data.chexbench.subjects import NOT_THERE, Detail, Subject
from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT
from chexjax.rng import hash_words

_YES_NO = ("yes", "no")
_WRONG = 3
"""Wrong ones among four options."""

_THERE = 0.8
"""Share of studies that are asked about a finding which they have."""

_WHICH = {
    "side": "On which side is the {}?",
    "severity": "How severe is the {}?",
    "place": "Where is the {}?",
}

Asked = dict[str, Any]
"""Fields of a question: text, options, answer, slice."""

Maker = Callable[[Subject, Sequence[str], np.random.Generator], Asked | None]


def make_question(
    task: str, subject: Subject, labels: Sequence[str], seed: int
) -> tuple[Question, str] | None:
    """A question about a study, without images, and the view that it is about.

    Args:
      task: One of `MAKERS`.
      subject: What is known of the study.
      labels: The labels that are asked for; see `known_labels`.
      seed: Of the choices.

    Returns:
      The question and the name of the view that it shows alone, empty where it shows all images;
      None where the study leaves nothing to ask.
    """
    rng = np.random.default_rng([seed, *hash_words(f"{task}/{subject.id}")])
    asked = MAKERS[task](subject, labels, rng)
    if asked is None:
        return None
    question = Question(id=f"{task}/{subject.id}", task=task, source=subject.source, **asked)
    return question, question.slice if task == VIEW else ""


def known_labels(subjects: Sequence[Subject]) -> list[str]:
    """The labels that some study has; one that is never right would give itself away.

    `No Finding` and `Lung Opacity` are not asked for: other labels decide them.
    """
    found = {
        label
        for subject in subjects
        for label, value in subject.labels.items()
        if value == PRESENT and label not in ("No Finding", "Lung Opacity")
    }
    return [label for label in CHEXPERT_14 if label in found]


def _view(subject: Subject, labels: Sequence[str], rng: np.random.Generator) -> Asked | None:
    if not subject.views:
        return None
    shown = subject.views[int(rng.integers(len(subject.views)))]
    return {
        "text": "Which view is this?",
        "options": subject.view_names,
        "answer": subject.view_names.index(shown),
        "slice": shown,
    }


def _binary(subject: Subject, labels: Sequence[str], rng: np.random.Generator) -> Asked | None:
    sides = (_having(subject, labels, PRESENT), _having(subject, labels, ABSENT))
    answer = int(rng.integers(2)) if all(sides) else int(not sides[0])
    if not sides[answer]:
        return None
    label = _pick(sides[answer], rng)
    text = f"Does this chest X-ray show {label.lower()}?"
    return {"text": text, "options": _YES_NO, "answer": answer, "slice": label}


def _single(subject: Subject, labels: Sequence[str], rng: np.random.Generator) -> Asked | None:
    present, absent = (_having(subject, labels, value) for value in (PRESENT, ABSENT))
    if not present or len(absent) < _WRONG:
        return None
    label = _pick(present, rng)
    wrong = [absent[k] for k in rng.permutation(len(absent))[:_WRONG]]
    return _shuffled("Which finding is seen?", label, wrong, label, rng)


def _multiple(subject: Subject, labels: Sequence[str], rng: np.random.Generator) -> Asked | None:
    """Sets of one size, so that length gives nothing away."""
    present = tuple(_having(subject, labels, PRESENT))
    judged = [label for label in labels if subject.labels.get(label) in (PRESENT, ABSENT)]
    if len(present) < 2:
        return None
    others = [one for one in itertools.combinations(judged, len(present)) if one != present]
    if len(others) < _WRONG:
        return None
    wrong = [", ".join(others[k]) for k in rng.permutation(len(others))[:_WRONG]]
    size = f"{len(present)} labels"
    return _shuffled("Which findings are seen?", ", ".join(present), wrong, size, rng)


def _vqa(subject: Subject, labels: Sequence[str], rng: np.random.Generator) -> Asked | None:
    """Mostly about what is there: half of it yes or no, half which of two to four words.

    Most things are absent in most studies, so that "absent" would be a good guess if they were
    asked about evenly.
    """
    there = rng.random() < _THERE
    details = [detail for detail in subject.details if bool(detail.statement) == there]
    if not details:
        return None
    detail = details[int(rng.integers(len(details)))]
    if there and rng.random() < 0.5:
        answer = int(rng.integers(2))
        word = _other(detail, rng) if answer else detail.word
        text = f"Is there {detail.statement.format(word)}?"
        return {"text": text, "options": _YES_NO, "answer": answer, "slice": "yes or no"}
    words = (NOT_THERE, *detail.words) if detail.about == "severity" else detail.words
    text = _WHICH[detail.about].format(detail.noun)
    answer = words.index(detail.word)
    return {"text": text, "options": words, "answer": answer, "slice": detail.about}


def _reasoning(subject: Subject, labels: Sequence[str], rng: np.random.Generator) -> Asked | None:
    stated = [detail for detail in subject.details if detail.statement]
    if not stated:
        return None
    detail = stated[int(rng.integers(len(stated)))]
    right, wrong = (detail.statement.format(w) for w in (detail.word, _other(detail, rng)))
    return _shuffled("Which statement is true?", right, [wrong], detail.about, rng)


MAKERS: dict[str, Maker] = {
    VIEW: _view,
    BINARY: _binary,
    SINGLE: _single,
    MULTIPLE: _multiple,
    VQA: _vqa,
    REASONING: _reasoning,
}
"""Task -> what makes its question about a study."""


def _having(subject: Subject, labels: Sequence[str], value: int) -> list[str]:
    return [label for label in labels if subject.labels.get(label) == value]


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _other(detail: Detail, rng: np.random.Generator) -> str:
    return _pick([word for word in detail.words if word != detail.word], rng)


def _shuffled(
    text: str, right: str, wrong: Sequence[str], part: str, rng: np.random.Generator
) -> Asked:
    options = [right, *wrong]
    order = rng.permutation(len(options)).tolist()
    return {
        "text": text,
        "options": tuple(options[k].lower() for k in order),
        "answer": order.index(0),
        "slice": part,
    }
