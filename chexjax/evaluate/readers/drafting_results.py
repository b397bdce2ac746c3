"""What a drafting study came to: time saved, how much of a draft was changed, by reader group."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chexjax.evaluate.readers.answers import Answers, read_answers
from chexjax.evaluate.readers.crossed import Draws, spread, weighted
from chexjax.evaluate.readers.drafting import DraftingKey
from chexjax.evaluate.significance import Array, Interval

ALL = "All"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Of some readers.

    Attributes:
      readers: How many of them finished reports both ways.
      reports: Finished reports, from a draft and from nothing.
      drafted: Mean seconds a report from a draft: the mean of the readers' means.
      blank: The same from nothing.
      saved: Difference of the two, seconds.
      share: `saved` over `blank`.
      faster: Share of cases that were written sooner from the draft. A case is written both ways by
        different readers, so each time is taken relative to its reader's pace.
      distance: Words and marks to insert, delete or replace between draft and report.
      kept: Share of the drafts that were signed as they were.
    """

    readers: int
    reports: tuple[int, int]
    drafted: Interval
    blank: Interval
    saved: Interval
    share: Interval
    faster: Interval
    distance: Interval
    kept: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class DraftingResults:
    """Everything that the answers say.

    Attributes:
      system: Whose drafts.
      groups: All readers, and each group where there are several.
      amiss: What was wrong with the answers, in words.
    """

    system: str
    groups: Mapping[str, Group]
    amiss: Sequence[str]


def analyse(key: DraftingKey, files: Sequence[Path]) -> DraftingResults:
    """Reads the answers and works them out.

    Raises:
      ValueError: a file cannot be used, or no reader finished a report both ways.
    """
    answers = read_answers(files, key.page, key.cases, {"finished": ("yes",)})
    amiss = list(answers.amiss)
    unknown = sorted({row.reader for row in answers.rows} - set(key.readers))
    amiss += [f"the key has no reader {name!r}; left out" for name in unknown]
    readers = [name for name in answers.readers if name in key.readers]
    amiss += [f"no answer of reader {name}" for name in key.readers if name not in readers]
    if not readers:
        raise ValueError(f"no answer of {', '.join(key.readers)}; give the readers' CSVs")
    seconds, distance, drafted = _tables(key, answers, readers)
    groups = {ALL: list(range(len(readers)))}
    for name in dict.fromkeys(key.readers.values()):
        groups[name] = [k for k, reader in enumerate(readers) if key.readers[reader] == name]
    if len(groups) == 2:
        groups = {ALL: groups[ALL]}
    return DraftingResults(
        system=key.system,
        groups={
            name: _group(seconds[:, own], distance[:, own], drafted[:, own], key.seed)
            for name, own in groups.items()
            if own
        },
        amiss=amiss,
    )


def _tables(
    key: DraftingKey, answers: Answers, readers: Sequence[str]
) -> tuple[Array, Array, np.ndarray]:
    """Seconds and edit distance, NaN where there is none, and who had which draft."""
    rows, columns = ({n: k for k, n in enumerate(names)} for names in (key.cases, readers))
    seconds, distance = (np.full((len(rows), len(columns)), np.nan) for _ in range(2))
    drafted = np.array([[name in one.readers for name in readers] for one in key.cases.values()])
    for answer in (one for one in answers.rows if one.reader in columns):
        place = rows[answer.case], columns[answer.reader]
        seconds[place] = answer.seconds
        if drafted[place]:
            draft = key.cases[answer.case].draft
            distance[place] = edit_distance(words(draft), words(answer.values["report"]))
    return seconds, distance, drafted


def _group(seconds: Array, distance: Array, drafted: np.ndarray, seed: int) -> Group:
    draws = Draws.of(*seconds.shape, seed=seed)
    ways = [np.where(way, seconds, np.nan) for way in (drafted, ~drafted)]
    means = [draws.reader_means(way) for way in ways]
    both = np.isfinite(means[0]) & np.isfinite(means[1])  # who has one way only compares nothing
    fast, slow = (weighted(np.where(both, mean, np.nan), draws.readers) for mean in means)
    pace = np.where(both[0], (means[0][0] + means[1][0]) / 2, np.nan)
    relative = [draws.case_means(way / pace) for way in ways]
    sooner = np.where(np.isfinite(relative[0] - relative[1]), relative[0] < relative[1], np.nan)
    return Group(
        readers=int(both[0].sum()),
        reports=(int(np.isfinite(ways[0]).sum()), int(np.isfinite(ways[1]).sum())),
        drafted=spread(fast),
        blank=spread(slow),
        saved=spread(slow - fast),
        share=spread(1 - fast / slow),
        faster=spread(weighted(sooner, draws.cases)),
        distance=draws.mean(distance),
        kept=draws.mean(np.where(np.isfinite(distance), distance == 0, np.nan)),
    )


def words(text: str) -> list[str]:
    """Words, and each mark between them."""
    return re.findall(r"\w+|[^\w\s]", text)


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Fewest insertions, deletions and replacements that make one the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for k, left in enumerate(one, start=1):
        before, row[0] = row[0], k
        for j, right in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]
