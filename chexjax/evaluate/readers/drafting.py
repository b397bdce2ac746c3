"""A drafting study: is a report written sooner from a system's draft than from nothing?

Each reader writes half of the reports from a draft and half from nothing. Which ones is drawn in
blocks of two neighbouring cases, so that neither a reader's practice nor his fatigue favours one
way; every second reader has the drafts that the one before him has not, so each case is
written both ways.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from chexjax.data.study import Study
from chexjax.evaluate.readers.key import StudyKey
from chexjax.evaluate.readers.page import Case, Form, check_names, choice, write_page
from chexjax.page import Html, join, tag
from chexjax.rng import hash_words

PAGE = Path("send") / "drafting_study.html"
"""The one file of the study's folder that readers get."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DraftingConfig:
    """Who writes what.

    Attributes:
      system: Whose reports are the drafts.
      cases: Studies, drawn from those with a draft.
      readers: Each reader's name -> the group he is counted with, such as `{"R1": "resident"}`.
      side: Longest side of a picture on the page, pixels.
    """

    system: str = "aligned"
    cases: int = 40
    readers: dict[str, str] = dataclasses.field(default_factory=lambda: {"R1": "all", "R2": "all"})
    side: int = 1024

    def __post_init__(self) -> None:
        """Checks what can be known without the reports."""
        if self.cases < 2:
            raise ValueError(f"cases={self.cases}: one with and one without a draft are the least")
        if not self.readers:
            raise ValueError("readers is empty; give each reader's name and group")
        check_names(list(self.readers), "readers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drafted:
    """One case of the key: its study, the draft, and the readers who got it."""

    study: str
    draft: str
    readers: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DraftingKey(StudyKey):
    """What was shown to whom.

    Attributes:
      system: Whose drafts.
      readers: Reader -> group.
      cases: Name on the page -> what was shown to whom.
    """

    kind: ClassVar[str] = "drafting study"

    system: str
    readers: Mapping[str, str]
    cases: Mapping[str, Drafted]


def assign(cases: int, readers: int, seed: int) -> np.ndarray:
    """Who gets which draft, `bool[cases, readers]`.

    Of cases 2k and 2k + 1 each reader has one draft; of readers 2k and 2k + 1 one has it.
    """
    first = np.random.default_rng(seed).random((-(-cases // 2), -(-readers // 2))) < 0.5
    blocks = np.stack([first, ~first], axis=1).reshape(-1, first.shape[1])
    both = np.stack([blocks, ~blocks], axis=2).reshape(len(blocks), -1)
    return np.asarray(both[:cases, :readers])


def write_study(
    studies: Sequence[Study],
    drafts: Mapping[str, str],
    config: DraftingConfig,
    seed: int,
    folder: Path,
) -> DraftingKey:
    """Writes the page for the readers, and the key apart from it.

    Args:
      studies: Held-out studies.
      drafts: Study id -> draft.
      config: Who writes what.
      seed: Of the draw.
      folder: Where.

    Raises:
      ValueError: fewer studies than asked for have a draft.
    """
    usable = [study for study in studies if drafts.get(study.id, "").strip()]
    if len(usable) < config.cases:
        raise ValueError(
            f"cases={config.cases}, but {len(usable)} studies have a draft; ask for fewer"
        )
    usable.sort(key=lambda study: hash_words(f"drafting/{seed}/{study.id}").tolist())
    names, shown, cases = list(config.readers), {}, []
    given = assign(config.cases, len(names), seed)
    for number, study in enumerate(usable[: config.cases]):
        name, draft = f"c{number + 1:03d}", drafts[study.id].strip()
        readers = [reader for reader, has in zip(names, given[number], strict=True) if has]
        shown[name] = Drafted(study=study.id, draft=draft, readers=readers)
        data = {"drafted": " ".join(readers), "lock": ""}
        cases.append(Case(name=name, study=study, body=_body(draft), data=data))
    (folder / PAGE).parent.mkdir(exist_ok=True)
    form = dataclasses.replace(_FORM, readers=names)
    page = write_page(folder / PAGE, form, cases, config.side)
    key = DraftingKey(
        page=page, system=config.system, readers=config.readers, cases=shown, seed=seed
    )
    key.write(folder)
    return key


_FORM = Form(
    title="Write the findings",
    lead=(
        "Each case shows a chest X-ray. For some there is a draft of its findings: correct it "
        "until you would sign it. For the others write the findings yourself. Tick the box when "
        "you are done with a case; its time counts from when you see it until then."
    ),
    columns=("report", "finished"),
    required="finished",
    keys={},
)


def _body(draft: str) -> Html:
    """Every page has all drafts; the script shows each reader his own."""
    return join(
        [
            tag("h3", "Correct this draft", data_when="draft"),
            tag("h3", "Write the findings", data_when="blank"),
            tag("textarea", name="report", data_draft=draft, aria_label="Findings"),
            tag(
                "fieldset",
                choice("finished", {"yes": "This report is finished"}, kind="checkbox"),
                class_="answer",
            ),
        ]
    )
