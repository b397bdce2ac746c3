"""Runs of a sweep side by side: one table, score against length, divergence against score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import write_atomic
from chexjax.evaluate import claims_table, plots
from chexjax.evaluate.cells import cell, share
from chexjax.evaluate.claims import Answer
from chexjax.evaluate.claims_table import Levels
from chexjax.evaluate.results import write_results
from chexjax.evaluate.significance import Interval, mean_intervals, number
from chexjax.evaluate.studies.divergence import AXIS
from chexjax.evaluate.studies.length_study import (
    NGRAM,
    TERMS,
    lc_drop,
    rank_correlation,
    repetition,
)
from chexjax.judges import Judge, length_controlled
from chexjax.page import Html, Page, figure, grid, join, standalone, terms
from chexjax.page import table as html_table

SFT = "SFT"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One run.

    Attributes:
      name: Its points.
      score: Held-out mean of the judge's scores.
      controlled: The same divided by excess length.
      length: Words over those of the reference, mean.
      words: Words a report.
      to_sft: Mean words over the SFT policy's; 1 of SFT itself.
      correlation: Rank correlation of score and `length`.
      drop: Share of the mean score that division by excess length takes away.
      repeated: Share of n-grams that a report has said before.
      divergence: From the SFT policy, nats a report; 0 of SFT itself.
      selection: Mean on the validation split by which one run is selected; None of SFT, and where
        none is.
      is_sft: Whether it is what runs start from.
    """

    name: str
    score: Interval
    controlled: Interval
    length: Interval
    words: Interval
    to_sft: float
    correlation: Interval
    drop: Interval
    repeated: Interval
    divergence: Interval
    selection: float | None
    is_sft: bool


def measured(
    name: str,
    judge: Judge,
    references: Sequence[str],
    reports: Sequence[str],
    *,
    divergence: Interval,
    selection: float | None,
    seed: int,
    sft: Entry | None = None,
) -> Entry:
    """An entry from held-out reports; those that the judge, without `lc_`, scores not are left out.

    `sft` is the entry of the policy that the run started from, None of that itself.

    Raises:
      ValueError: it gave no report a score.
    """
    scores = _scores(judge, references, reports)
    kept = [k for k, score in enumerate(scores) if math.isfinite(score)]
    if not kept:
        raise ValueError(f"{judge.name} gave no report of {name} a score: nothing to compare")
    told = [reports[k] for k in kept]
    columns = np.asarray([_row(scores[k], references[k], reports[k]) for k in kept]).T
    score, controlled, length, words = columns
    means = mean_intervals(dict(zip(_MEANS, columns, strict=True)), seed=seed)
    return Entry(
        name=name,
        **means,
        to_sft=float(words.mean() / sft.words.mean) if sft else 1.0,
        correlation=rank_correlation(score, length, seed=seed),
        drop=lc_drop(controlled, score, seed=seed),
        repeated=repetition(told, seed=seed),
        divergence=divergence,
        selection=selection,
        is_sft=sft is None,
    )


_MEANS = ("score", "controlled", "length", "words")


def _row(score: float, reference: str, report: str) -> tuple[float, ...]:
    """Values of `_MEANS` of one report."""
    words = len(report.split())
    relative = words / max(len(reference.split()), 1)
    return score, length_controlled(score, report, reference), relative, float(words)


def mean_score(judge: Judge, references: Sequence[str], reports: Sequence[str]) -> float:
    """Of the reports that the judge gave a score; NaN where there are none."""
    found = _scores(judge, references, reports)
    return float(np.mean(found, where=np.isfinite(found)))


def _scores(judge: Judge, references: Sequence[str], reports: Sequence[str]) -> np.ndarray:
    """`f64[B]`, NaN where the judge gave none."""
    return np.asarray([one.score for one in judge.judge(references, reports)], np.float64)


def selected(entries: Sequence[Entry]) -> Entry | None:
    """The run with the best score on the validation split; the first of equals.

    One that has no score there, since its judge read none of the reports, is never selected.
    """
    scores = {
        entry.name: entry.selection
        for entry in entries
        if entry.selection is not None and math.isfinite(entry.selection)
    }
    runs = [entry for entry in entries if entry.name in scores]
    return max(runs, key=lambda entry: scores[entry.name], default=None)


def write(
    entries: Sequence[Entry],
    facts: Mapping[str, str],
    folder: Path,
    answers: Sequence[Answer],
    levels: Levels,
) -> None:
    """Writes `comparison.json` and `comparison.html`; of claims `claims.md` and `claims.svg` too.

    Args:
      entries: SFT and all runs.
      facts: What else is worth knowing, name and value.
      folder: Where.
      answers: To the claims.
      levels: What was measured of all policies.
    """
    best = selected(entries)
    rows = [dataclasses.asdict(entry) | {"selected": entry is best} for entry in entries]
    found = {"claims": list(map(dataclasses.asdict, answers)), "levels": dataclasses.asdict(levels)}
    write_results({"runs": rows, "facts": facts, **found}, folder / "comparison.json")
    if answers or levels.scales:
        write_atomic(folder / "claims.md", claims_table.markdown(answers, levels))
    title = f"{sum(not entry.is_sft for entry in entries)} runs compared"
    page = Page(title, _verdict(best, facts), above="chexjax sweep")
    if answers:
        picture = plots.claims(answers)
        write_atomic(folder / "claims.svg", standalone(picture))
        body = join([figure(picture, claims_table.PICTURE), claims_table.section(answers)])
        page.section("Claims", body, lead=claims_table.LEAD)
    if levels.scales:
        body = claims_table.levels_section(levels)
        page.section("Policies", body, lead=claims_table.LEVELS_LEAD)
    table = html_table(_headings(best), [_cells(entry, best, cell) for entry in entries])
    page.section("Runs", table, lead=_LEAD + _SELECTED if best else _LEAD)
    page.section("Length and divergence", _pictures(entries))
    lengths = html_table(_LENGTH_HEADINGS, [_length_cells(entry) for entry in entries])
    page.section("Length exploitation", lengths, lead=_LENGTH_LEAD)
    page.section("How it was made", terms(facts))
    page.write(folder / "comparison.html")


def _pictures(entries: Sequence[Entry]) -> Html:
    """Score against length, and against divergence."""
    quiet = [entry.name for entry in entries if entry.is_sft]
    by_length = plots.named_points(
        {entry.name: (entry.length, entry.score) for entry in entries},
        "Words \u00f7 words of the reference",
        "Score",
        quiet=quiet,
    )
    by_divergence = plots.named_points(
        {entry.name: (entry.divergence, entry.score) for entry in entries},
        AXIS,
        "Score",
        quiet=quiet,
    )
    return grid(
        figure(by_length, "A run that is up and to the right scores higher by writing more."),
        figure(by_divergence, "What each run paid for its score in distance from the SFT policy."),
    )


def show(entries: Sequence[Entry], console: Console) -> None:
    """The table, in a terminal."""
    best = selected(entries)
    table = Table(title="Runs")
    for heading in _headings(best):
        table.add_column(heading, justify="left" if heading == _HEADINGS[0] else "right")
    for entry in entries:
        table.add_row(*_cells(entry, best, Interval.text))
    console.print(table)


_HEADINGS = ("run", "score", "LC score", "length", "divergence", "validation")

_LEAD = (
    "Held-out means with 95 % intervals of bootstrap draws of the studies. LC score: divided by "
    "excess length. Length: words over those of the reference. Divergence: from the SFT policy, in "
    "nats a report, of reports sampled at temperature 1."
)
_SELECTED = " The last column is the mean on the validation split, by which a run is selected."


_LENGTH_HEADINGS = (
    "run",
    "words",
    "\u00f7 SFT",
    "\u00f7 reference",
    "rank correlation",
    "LC drop",
    f"repeated {NGRAM}-grams",
)

_LENGTH_LEAD = (
    f"{TERMS} A loss that bought its score with words, or with what it had said before, stands out "
    "from SFT here; what it paid in distance from SFT stands above."
)


def _length_cells(entry: Entry) -> tuple[str, ...]:
    return (
        entry.name,
        entry.words.value(1),
        number(entry.to_sft, 2),
        entry.length.value(2),
        cell(entry.correlation, 2),
        share(entry.drop),
        share(entry.repeated),
    )


def _verdict(best: Entry | None, facts: Mapping[str, str]) -> str:
    if best is None:
        return ""
    return f"Selected on the validation split by {facts['selected by']}: {best.name}"


def _headings(best: Entry | None) -> tuple[str, ...]:
    return _HEADINGS if best else _HEADINGS[:-1]


def _cells(
    entry: Entry, best: Entry | None, form: Callable[[Interval, int], str]
) -> tuple[str, ...]:
    chosen = "" if entry.selection is None else number(entry.selection)
    return (
        entry.name,
        form(entry.score, 3),
        form(entry.controlled, 3),
        entry.length.value(2),
        "0" if entry.is_sft else form(entry.divergence, 2),
        f"{chosen} \u2190 selected" if entry is best else chosen,
    )[: len(_headings(best))]
