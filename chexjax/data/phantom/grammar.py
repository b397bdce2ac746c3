"""The phantom's radiologist: writes indications and reports with known content."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chexjax.data.phantom import phrases
from chexjax.data.phantom.findings import DEVICES, LUNG_KINDS, Finding
from chexjax.data.phantom.phrases import PHANTOM, Phrasebook

CHANGES = ("unchanged", "worse", "improved")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
    """What a report says.

    Attributes:
      findings: What is there; at most one of a kind.
      denied: Statements of absence, each the kinds that it rules out.
      comparison: How the study compares with a prior one, out of `CHANGES`; None without.
    """

    findings: tuple[Finding, ...]
    denied: tuple[tuple[str, ...], ...] = ()
    comparison: str | None = None


def plan(findings: Sequence[Finding], rng: np.random.Generator, *, prior: float = 0.0) -> Content:
    """Chooses what a report of `findings` says beside them: normals, and a prior at times.

    How a study compares with its prior is nothing that its own picture shows. A model that imitates
    such reports makes comparisons up; real ones do (Banerjee et al., arXiv:2406.06496).

    Args:
      findings: What the picture shows.
      rng: Source of the choices.
      prior: Probability that the report compares with a prior study.
    """
    present = {f.kind for f in findings}
    denied = [d for d in _denials(present, rng) if d]
    comparison = None
    if rng.random() < prior:
        odds = (0.4, 0.3, 0.3) if present - set(DEVICES) else (0.5, 0.0, 0.5)
        comparison = str(rng.choice(CHANGES, p=odds))
    return Content(findings=tuple(findings), denied=tuple(denied), comparison=comparison)


def _denials(present: set[str], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Statements of absence region by region: heart, lungs, pleura, bones.

    As in real reports, what is normal is mostly said of healthy people and mostly left unsaid
    beside a finding. A model that imitates such reports leaves it unsaid too, though it sees it.
    """
    said = 0.45 if present else 0.9
    lungs = tuple(k for k in LUNG_KINDS if k not in present)
    pleura = tuple(k for k in phrases.PLEURA if k not in present)
    clear = len(lungs) == len(LUNG_KINDS)
    out = [_heart_denial(present, rng)]
    if clear and len(pleura) == 2 and rng.random() < 0.1:
        out.append(phrases.SUMMARY)
    else:
        if not present or rng.random() < 0.4:
            out.append(lungs)
        elif not clear and rng.random() < 0.6:
            out.append(tuple(k for k in ("consolidation", "edema") if k not in present))
        if pleura and rng.random() < said:
            out.append(pleura)
    if "fracture" not in present and rng.random() < 0.4:
        out.append(("fracture",))
    return out


def _heart_denial(present: set[str], rng: np.random.Generator) -> tuple[str, ...]:
    absent = tuple(k for k in phrases.SILHOUETTE if k not in present)
    if present and rng.random() < 0.55:
        return ()
    if absent == phrases.SILHOUETTE:
        return phrases.SILHOUETTE if rng.random() < 0.55 else phrases.HEART
    return absent


def write(content: Content, rng: np.random.Generator, book: Phrasebook = PHANTOM) -> str:
    """The report of `content` in prose; `reading.read` gets all of it back.

    Positive statements and normals come in any order, but "otherwise clear" always follows the
    lung findings that it excepts.

    Args:
      content: What is to be said.
      rng: Source of the choices.
      book: The sentences to choose from.
    """
    known = [d for d in content.denied if d in book.negative]
    opening = [_positive(f, rng, book) for f in content.findings]
    opening += [pick(book.negative[d], rng) for d in known]
    sentences = [opening[i] for i in rng.permutation(len(opening))]
    if len(known) < len(content.denied):
        sentences.append(pick(book.otherwise, rng))
    if content.comparison is not None:
        opens = rng.random() < 0.9
        templates = (book.opening if opens else book.closing)[content.comparison]
        sentences.insert(0 if opens else len(sentences), _compared(content, templates, rng))
    return " ".join(map(sentence, sentences))


def conclude(findings: Sequence[Finding]) -> str:
    """The impression: every finding by its name, devices left out."""
    named = [name(f) for f in findings if f.kind not in DEVICES]
    return " ".join(map(sentence, named or phrases.NEGATIVE[phrases.SUMMARY][:1]))


def name(finding: Finding) -> str:
    """A finding without a sentence: `moderate left pleural effusion`."""
    grade, noun = grade_word(finding), phrases.NOUNS[finding.kind]
    if finding.kind == "lesion" and grade:
        grade, noun = "", grade  # a nodule or a mass
    zone = f"{finding.zone} zone" if finding.zone else ""
    return " ".join(word for word in (grade, finding.side, zone, noun) if word)


def place(finding: Finding) -> str:
    """Where a finding is: `right lower zone`, `left`, `both sides`; empty for one with no place."""
    side = "both sides" if finding.side == "bilateral" else finding.side
    return " ".join(word for word in (side, finding.zone, finding.zone and "zone") if word)


def grade_word(finding: Finding) -> str:
    """How the grade of a finding is spoken of; empty where it has none."""
    words = phrases.GRADE_WORDS.get(finding.kind, {}).get(finding.severity or "", ("",))
    return words[0]


def sentence(words: str) -> str:
    """Words with a capital letter and a full stop."""
    return words[0].upper() + words[1:] + "."


def _positive(finding: Finding, rng: np.random.Generator, book: Phrasebook) -> str:
    both = f"{finding.kind} bilateral" if finding.side == "bilateral" else finding.kind
    words = phrases.GRADE_WORDS.get(finding.kind, {}).get(finding.severity or "", ("",))
    grade = pick(words, rng)
    template = pick(book.positive[both], rng)
    return template.format(grade=grade, side=finding.side, zone=finding.zone)


def _compared(content: Content, templates: Sequence[str], rng: np.random.Generator) -> str:
    kinds = [f.kind for f in content.findings if f.kind in ("effusion", "edema", "pneumothorax")]
    thing = "the findings are"
    if kinds and rng.random() < 0.6:
        plural = any(f.kind == kinds[0] and f.side == "bilateral" for f in content.findings)
        thing = f"the {kinds[0]}s are" if plural else f"the {kinds[0]} is"
    return pick(templates, rng).format(thing=thing)


def indication(content: Content, rng: np.random.Generator) -> str:
    """Why the study was asked for: mostly a common complaint, at times a hint, at times "None"."""
    if content.comparison is not None and rng.random() < 0.25:
        return pick(phrases.FOLLOW_UP, rng)
    if content.findings and rng.random() < 0.3:
        finding = content.findings[int(rng.integers(len(content.findings)))]
        return pick(phrases.HINTS[finding.kind], rng)
    return pick(phrases.COMPLAINTS, rng)


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options, each as likely as another."""
    return options[int(rng.integers(len(options)))]
