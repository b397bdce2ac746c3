"""The page of an evaluation: what came out, how sure it is, what it looks like, how it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chexjax.data.study import Study
from chexjax.evaluate import plots, significance, table, verdict
from chexjax.evaluate.cells import cell
from chexjax.evaluate.gallery import RULE, STYLE, gallery
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.studies.analyses import Section
from chexjax.page import Html, Page, figure, grid, join, tag, terms
from chexjax.page import table as html_table

Timing = Mapping[str, str | float]


def write(
    evaluation: Evaluation,
    study: Callable[[int], Study],
    *,
    sections: Sequence[Section],
    curves: Mapping[str, plots.Curve],
    timings: Sequence[Timing] | None,
    facts: Mapping[str, str],
    path: Path,
) -> None:
    """Writes the page as one file that needs nothing else.

    Args:
      evaluation: The numbers.
      study: Gives a study that they were measured on, with its images, by its number.
      sections: What was worked out beside the means.
      curves: `stage -> rows of its metrics log`, each with `step` and any of `plots.CURVES`.
      timings: One row a stage, columns by name; None leaves the table out.
      facts: What else is worth knowing of the run, name and value.
      path: The HTML file.
    """
    figures = verdict.figures(evaluation)
    subtitle = f"{figures[0].upper()}{figures[1:]}"
    page = Page(verdict.result(evaluation), subtitle, above="chexjax report", style=STYLE)
    page.section("Result", _result(evaluation))
    if evaluation.test.labels is not None:
        lead = _LABELS.format(labeler=evaluation.test.labels.labeler)
        page.section("Conditions", _labels(evaluation), lead=lead)
    for section in sections:
        page.section(*section)
    if pictures := plots.training_curves(curves):
        page.section("Training", grid(*(figure(one) for one in pictures)), lead=_TRAINING)
    page.section("Studies", gallery(evaluation, study), lead=RULE)
    page.section("How it was made", _making(evaluation, timings, facts))
    page.write(path)


def _result(evaluation: Evaluation) -> Html:
    remarks = tag("ul", *(tag("li", remark) for remark in verdict.remarks(evaluation)))
    return join(
        [
            remarks,
            table.main_table(evaluation),
            tag("p", _measures(evaluation), class_="note"),
            grid(
                figure(plots.four_bars(evaluation), _BARS),
                figure(plots.differences(evaluation), _DIFFERENCES),
            ),
        ]
    )


def _measures(evaluation: Evaluation) -> str:
    metrics = "".join(f"{table.title(k)}: {full}. " for k, full in evaluation.metrics.items())
    return (
        f'Score: by the judge "{evaluation.judge}". LC score: score divided by the number of words '
        f"over that of the reference, where it is longer. {metrics}"
        f"Over-long: more than {evaluation.long_ratio:g} times the words of the reference. Small "
        f"figures: 95 % intervals from {significance.RESAMPLES:,} bootstrap draws of the studies, "
        "the same draws for every system."
    )


def _labels(evaluation: Evaluation) -> Html:
    found = [one.labels for one in evaluation.systems if one.labels is not None]
    names = [one.name for one in evaluation.systems if one.labels is not None]
    rows = [
        [label, str(count or "-"), *(one.f1[k].value(2) for one in found)]
        for k, (label, count) in enumerate(zip(found[0].names, found[0].support, strict=True))
    ]
    rows.append(["Macro", "", *(one.macro.value(2) for one in found)])
    rows.append(["Micro", "", *(one.micro.value(2) for one in found)])
    beside = html_table(["Label", "Studies", *names], rows)
    quoted = [
        [table.title(name), *(cell(one.averages[name]) for one in found)]
        for name in found[0].averages
    ]
    return join(
        [
            grid(figure(plots.label_f1(evaluation), _F1), beside),
            html_table(["As papers quote it", *names], quoted),
        ]
    )


def _making(
    evaluation: Evaluation, timings: Sequence[Timing] | None, facts: Mapping[str, str]
) -> Html:
    known = {
        "held-out studies": f"{len(evaluation.ids):,}",
        "bootstrap": f"{significance.RESAMPLES:,} draws, seed {evaluation.seed}",
    }
    parts = [terms({**facts, **known})]
    if timings:
        header = list(timings[0])
        rows = [[_cell(row.get(name, "")) for name in header] for row in timings]
        parts.append(html_table(header, rows))
    return join(parts)


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,.1f}"


_BARS = (
    "Mean score of reports written from a study's own images, and from shuffled ones, another's. "
    "A model that ignored the image would lose nothing."
)
_DIFFERENCES = (
    "What the run is about: differences of mean score, study by study, with 95 % intervals. "
    "An interval that crosses zero (grey) shows nothing either way."
)
_LABELS = (
    "Both sides are read by the same labeler ({labeler}), and F1 asks whether the condition is "
    "named, whatever its side or grade. A label that no reference has is left out of the macro "
    "mean of the first table. In the second, which counts as scikit-learn does, its F1 is 0, and "
    "so is that of a report on which neither side names any label. Mean of four: of F1-14 and "
    "F1-5, micro and macro."
)
_F1 = "F1 of each label with its 95 % interval; in brackets, the studies that have it."
_TRAINING = "Thin: every logged step. Bold: running mean over a twentieth of the run."
