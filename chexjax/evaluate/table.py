"""The numbers of an evaluation for the console, as JSON, as CSV and for the page."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import rich.box
import rich.table
from rich.console import Console

from chexjax.evaluate import significance, verdict
from chexjax.evaluate.cells import PER_CENT, cell, parts
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.results import write_results
from chexjax.evaluate.significance import Interval
from chexjax.page import Html, stacked, table

_T = TypeVar("_T")

_TITLES = {
    "score": "Score",
    "lc_score": "LC score",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "bertscore": "BERTScore",
    "bleu": "Sentence BLEU, mean",
    "corpus_bleu": "Corpus BLEU",
    "macro_f1": "Label F1, macro",
    "micro_f1": "Label F1, micro",
    "f1_14_micro": "F1-14, micro",
    "f1_14_macro": "F1-14, macro",
    "f1_14_weighted": "F1-14, weighted",
    "f1_14_samples": "F1-14, samples",
    "f1_5_micro": "F1-5, micro",
    "f1_5_macro": "F1-5, macro",
    "f1_5_weighted": "F1-5, weighted",
    "f1_5_samples": "F1-5, samples",
    "f1_mean_of_four": "F1, mean of four",
    "exact_5": "Reports with all five labels right",
    "words": "Words, mean",
    "over_long": "Over-long",
}
"""Headings of measures; others are called by their names."""

Measures = dict[str, Interval]


def measures(system: SystemResult) -> Measures:
    """Every mean of one system, in the order of tables; corpus values come without an interval."""
    nan, labels = float("nan"), system.labels
    last = {name: system.means[name] for name in ("words", "over_long")}
    found = {name: mean for name, mean in system.means.items() if name not in last}
    found |= {f"corpus_{name}": Interval(one, nan, nan) for name, one in system.corpus.items()}
    if labels is not None:
        found |= {"macro_f1": labels.macro, "micro_f1": labels.micro}
    return found | last


def title(name: str) -> str:
    """What a measure is called in tables."""
    return _TITLES.get(name, name.replace("corpus_", "Corpus "))


def show(evaluation: Evaluation, console: Console) -> None:
    """Prints the result in words, then systems by measures; no report text."""
    console.print(verdict.headline(evaluation), style="bold", highlight=False)
    for remark in verdict.remarks(evaluation):
        console.print(f"  {remark}", highlight=False)
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD, header_style="dim")
    grid.add_column("95 % intervals below")
    for system in evaluation.systems:
        grid.add_column(system.name, justify="right", no_wrap=True)
    found = [measures(system) for system in evaluation.systems]
    for name in found[0]:
        shown = [_shown(parts, name, one[name]) for one in found]
        grid.add_row(title(name), *(f"{value}\n[dim]{span}[/dim]" for value, span in shown))
    console.print(grid)


def main_table(evaluation: Evaluation) -> Html:
    """Measures in rows, systems in columns, then what the last gained on the first."""
    found = [measures(system) for system in evaluation.systems]
    base, test = evaluation.baseline, evaluation.test
    header = ["Measure", *(stacked(system.name, system.note) for system in evaluation.systems)]
    if compared := base is not test:
        header.append(stacked("Difference", f"{test.name} \u2212 {base.name}"))
    rows = []
    for name in found[0]:
        cells = [_shown(cell, name, one[name]) for one in found]
        if compared and name in base.columns:
            gap = evaluation.difference(test.name, base.name, name)
            cells.append(_shown(cell, name, gap, signed=True))
        rows.append([title(name), *cells, *[""] * (len(header) - 1 - len(cells))])
    return table(header, rows, strong=len(evaluation.systems))


def _shown(form: Callable[..., _T], name: str, one: Interval, *, signed: bool = False) -> _T:
    """A measure in a form of `cells`: words with one digit, over-long reports in per cent."""
    if name == "over_long":
        return form(one.percent, 1, signed=signed, unit=PER_CENT)
    return form(one, 1 if name == "words" else 3, signed=signed)


def write(evaluation: Evaluation, folder: Path) -> None:
    """Writes `report.json` (everything measured) and `report.csv` (one measure a line)."""
    write_results(summary(evaluation), folder / "report.json")
    buffer = io.StringIO()
    lines = csv.writer(buffer, lineterminator="\n")
    lines.writerow(["of", "minus", "measure", "mean", "low", "high"])
    lines.writerows(_lines(evaluation))
    (folder / "report.csv").write_text(buffer.getvalue(), encoding="utf-8")


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """All numbers of the evaluation, those of each study too; NaN where not defined."""
    return {
        "verdict": [verdict.headline(evaluation), *verdict.remarks(evaluation)],
        "judge": evaluation.judge,
        "metrics": dict(evaluation.metrics),
        "studies": len(evaluation.ids),
        "unscored": list(evaluation.unreadable),
        "seed": evaluation.seed,
        "resamples": significance.RESAMPLES,
        "long_ratio": evaluation.long_ratio,
        "systems": [_system(system) for system in evaluation.systems],
        "differences": [dataclasses.asdict(one) for one in evaluation.differences],
        "per_study": {
            "id": list(evaluation.ids),
            "systems": {system.name: _per_study(system) for system in evaluation.systems},
        },
    }


def _system(system: SystemResult) -> dict[str, Any]:
    means = measures(system) | {
        "shuffled_score": system.shuffled_mean,
        "image_gain": system.image_gain,
    }
    found: dict[str, Any] = {"name": system.name, "note": system.note}
    found |= {name: one and dataclasses.asdict(one) for name, one in means.items()}
    if (labels := system.labels) is not None:
        rows = zip(labels.names, labels.support, labels.predicted, labels.f1, strict=True)
        found["labels"] = {
            name: {"support": support, "predicted": predicted, "f1": dataclasses.asdict(f1)}
            for name, support, predicted, f1 in rows
        }
        found["labeler"] = labels.labeler
        found["label_averages"] = {
            name: dataclasses.asdict(one) for name, one in labels.averages.items()
        }
    return found


def _per_study(system: SystemResult) -> dict[str, list[float]]:
    columns = {name: values.tolist() for name, values in system.columns.items()}
    return columns | (
        {} if system.shuffled is None else {"shuffled_score": system.shuffled.tolist()}
    )


def _lines(evaluation: Evaluation) -> Iterator[tuple[str | float, ...]]:
    for system in evaluation.systems:
        extra = {"shuffled_score": system.shuffled_mean, "image_gain": system.image_gain}
        for name, one in (measures(system) | extra).items():
            if one is not None:
                yield (system.name, "", name, *_cells(one))
    for gap in evaluation.differences:
        yield (gap.of, gap.minus, gap.column, *_cells(gap.interval))


def _cells(one: Interval) -> tuple[str | float, ...]:
    return tuple(x if math.isfinite(x) else "" for x in dataclasses.astuple(one))
