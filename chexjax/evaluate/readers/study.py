"""A blinded reader study: which of two systems' reports on the same images is better?

Readers see a page of cases with the reports as A and B; which system is on which side is drawn
for each study and stands in the key alone, a file that stays with whoever runs the study.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from chexjax.data.study import Study
from chexjax.evaluate.gallery import ERRORS
from chexjax.evaluate.readers.key import StudyKey
from chexjax.evaluate.readers.page import Case, Form, choice, write_page
from chexjax.page import Html, join, tag
from chexjax.rng import hash_words

PAGE = Path("send") / "reader_study.html"
"""The one file of the study's folder that readers get."""

PREFERENCES = {"A": "A is better", "tie": "No difference", "B": "B is better"}
SIDES = ("A", "B")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """A blinded comparison.

    Attributes:
      systems: Two systems' names, the baseline first.
      cases: Studies, drawn from those that both have reported on differently.
      repeated: Cases that come again half a study later, sides changed, to see how far a reader
        agrees with himself; at most half of `cases`.
      reference: Show the radiologist's report, too.
      errors: Ask for the kinds of error in each report.
      side: Longest side of a picture on the page, pixels.
    """

    systems: tuple[str, str] = ("SFT", "aligned")
    cases: int = 50
    repeated: int = 0
    reference: bool = False
    errors: bool = True
    side: int = 1024

    def __post_init__(self) -> None:
        """Checks what can be known without the reports."""
        if self.systems[0] == self.systems[1]:
            raise ValueError(f"systems={self.systems}: a comparison needs two; name another one")
        if self.cases < 1:
            raise ValueError(f"cases={self.cases} leaves nothing to read; give 1 or more")
        if not 0 <= self.repeated <= self.cases // 2:
            raise ValueError(
                f"repeated={self.repeated} is not from 0 to {self.cases // 2}, half of the cases"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """One case of the key.

    Attributes:
      study: Study id.
      a: System on side A; the other is on side B.
      words: Words of each system's report.
      repeats: Case that was the first to show this study; empty where this is it.
    """

    study: str
    a: str
    words: Mapping[str, int]
    repeats: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderKey(StudyKey):
    """What was shown.

    Attributes:
      systems: The baseline and the system under test.
      cases: Name on the page -> what was shown.
      identical: Studies left out, since both systems wrote the same.
    """

    kind: ClassVar[str] = "reader study"

    systems: tuple[str, str]
    cases: Mapping[str, Shown]
    identical: Sequence[str]


def write_study(
    studies: Sequence[Study],
    reports: Mapping[str, Mapping[str, str]],
    config: ReaderConfig,
    seed: int,
    folder: Path,
) -> ReaderKey:
    """Writes the page for the readers, and the key apart from it.

    Args:
      studies: Held-out studies.
      reports: System -> study id -> report, of the two systems.
      config: What is asked.
      seed: Of the draw; another one draws other cases and sides.
      folder: Where.

    Raises:
      ValueError: fewer studies than asked for have two different reports.
    """
    base, test = (reports[name] for name in config.systems)
    both = [study for study in studies if study.id in base and study.id in test]
    identical = [s.id for s in both if base[s.id].split() == test[s.id].split()]
    usable = [study for study in both if study.id not in set(identical)]
    if len(usable) < config.cases:
        raise ValueError(
            f"cases={config.cases}, but {len(usable)} studies have two different reports "
            f"({len(identical)} have the same twice); ask for fewer"
        )
    chosen = sorted(usable, key=lambda study: _draw(seed, "order", study.id))[: config.cases]
    cases, shown = [], {}
    first: dict[str, str] = {}
    for number, (study, again) in enumerate(_order(chosen, config.repeated), start=1):
        name = f"c{number:03d}"
        swapped = bool(_draw(seed, "side", study.id) & 1) != again
        systems = config.systems[::-1] if swapped else config.systems
        texts = {system: reports[system][study.id] for system in systems}
        words = {system: len(text.split()) for system, text in texts.items()}
        shown[name] = Shown(
            study=study.id, a=systems[0], words=words, repeats=first.get(study.id, "")
        )
        first.setdefault(study.id, name)
        cases.append(Case(name=name, study=study, body=_body(study, list(texts.values()), config)))
    (folder / PAGE).parent.mkdir(exist_ok=True)
    page = write_page(folder / PAGE, _form(config), cases, config.side)
    key = ReaderKey(page=page, systems=config.systems, cases=shown, identical=identical, seed=seed)
    key.write(folder)
    return key


def _draw(seed: int, what: str, study: str) -> int:
    """A number that depends on seed and study alone."""
    low, high = hash_words(f"reader study/{seed}/{what}/{study}")
    return int(low) | int(high) << 32


def _order(chosen: Sequence[Study], repeated: int) -> list[tuple[Study, bool]]:
    """Cases in their order, and whether each has been shown before: half a study earlier."""
    half = len(chosen) // 2
    rows = [(float(k), study, False) for k, study in enumerate(chosen)]
    for k in range(repeated):
        early = k * half // repeated
        rows.append((early + len(chosen) - half + 0.5, chosen[early], True))
    return [(study, again) for _, study, again in sorted(rows, key=lambda row: row[0])]


def _form(config: ReaderConfig) -> Form:
    errors = tuple(f"errors_{side}" for side in SIDES) if config.errors else ()
    return Form(
        title="Which report is better?",
        lead=(
            "Each case shows a chest X-ray and two reports of its findings, A and B, in an order "
            "that changes from case to case. Say which one you would rather work from, or that "
            "there is no difference."
        ),
        columns=("preference", *errors, "comment"),
        required="preference",
        keys={"a": "A is better", "t": "no difference", "b": "B is better"},
    )


def _body(study: Study, texts: Sequence[str], config: ReaderConfig) -> Html:
    sides = [_side(side, text, config) for side, text in zip(SIDES, texts, strict=True)]
    keys = {"A": "a", "tie": "t", "B": "b"}
    question = tag("legend", "Which report is better?")
    parts = [
        tag("div", *sides, class_="sides"),
        tag("fieldset", question, choice("preference", PREFERENCES, keys=keys), class_="answer"),
        tag("label", "Comment", tag("textarea", name="comment"), class_="comment"),
    ]
    if config.reference:
        text = tag("p", study.findings, class_="report")
        parts.insert(0, tag("div", tag("h3", "Radiologist's report"), text, class_="reference"))
    return join(parts)


def _side(side: str, text: str, config: ReaderConfig) -> Html:
    parts = [tag("h3", f"Report {side}"), tag("p", text or "(empty)", class_="report")]
    if config.errors:
        legend = tag("legend", f"Errors in {side}, if any")
        boxes = choice(f"errors_{side}", ERRORS, kind="checkbox")
        parts.append(tag("fieldset", legend, boxes))
    return tag("div", *parts)
