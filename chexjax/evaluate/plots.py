"""The pictures of the report: drawn by matplotlib, coloured by the page, kept as inline SVG."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from chexjax.evaluate.claims import Answer
from chexjax.evaluate.metrics import Evaluation, SystemResult
from chexjax.evaluate.significance import Array, Interval, number
from chexjax.page import LIGHT, Html

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Sequence[Mapping[str, float]]

# Matplotlib knows no CSS variables. Each role of the page gets a colour that nothing else has,
# and `_svg` writes the variable in its place, so a picture follows light and dark.
_MARK = {role: f"#0000{number:02x}" for number, role in enumerate(LIGHT, start=1)}

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.titlecolor": _MARK["ink"],
    "axes.labelcolor": _MARK["muted"],
    "axes.edgecolor": _MARK["rule"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _MARK["rule"],
    "grid.linewidth": 0.7,
    "text.color": _MARK["ink"],
    "xtick.color": _MARK["rule"],
    "ytick.color": _MARK["rule"],
    "xtick.labelcolor": _MARK["muted"],
    "ytick.labelcolor": _MARK["muted"],
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "legend.labelcolor": _MARK["ink"],
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
}

_BAR = 0.82
"""Distance of neighbouring bars; half of it parts the systems."""

CURVES = {
    "loss": "Loss",
    "rewards/accuracies": "Share of pairs ranked rightly",
    "rewards/margins": "Reward margin",
}
"""Metrics that are drawn where a curve has them, with the name of their axis."""


def four_bars(evaluation: Evaluation) -> Html:
    """Mean score of each system with the study's images and, where measured, with others'."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.2, 3.7)
        ticks: dict[float, str] = {}
        at = 0.0
        for system in evaluation.systems:
            bars = [("own", system.means["score"], 0.95)]
            if system.shuffled_mean is not None:
                bars.append(("shuffled", system.shuffled_mean, 0.3))
            room = max(2, len(bars))  # as much as its name needs
            _group_name(axes, at + _BAR * (room - 1) / 2, system.name)
            at += _BAR * (room - len(bars)) / 2
            for label, mean, opacity in bars:
                _bar(axes, at, mean, _colour(evaluation, system), opacity)
                ticks[at] = label
                at += _BAR
            at += _BAR * (room - len(bars) + 1) / 2
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_ylim(0, axes.get_ylim()[1] * 1.08)
        axes.tick_params(axis="x", length=0)
        return _svg(figure, "Mean score with own and with shuffled images")


def differences(evaluation: Evaluation) -> Html:
    """The differences that the run is about, each with its interval, against zero."""
    base, test = evaluation.baseline, evaluation.test
    gaps = [
        (f"{test.name} \u2212 {one.name}", evaluation.difference(test.name, one.name))
        for one in evaluation.systems[:-1]
    ]
    if base is not test:
        gap = evaluation.difference(test.name, base.name, "lc_score")
        gaps.append((f"{test.name} \u2212 {base.name}, LC score", gap))
    gaps += [
        (f"{one.name}: own \u2212 shuffled images", one.image_gain)
        for one in evaluation.systems
        if one.image_gain is not None
    ]
    return intervals(gaps, "Difference of means")


def intervals(gaps: Sequence[tuple[str, Interval]], across: str, *, good: int = 1) -> Html:
    """Named differences, each with its interval, against zero.

    Args:
      gaps: Name and difference, from the top.
      across: Name of the axis.
      good: 1 where more is better, -1 where less is.
    """
    with matplotlib.rc_context(_STYLE | {"axes.grid.axis": "x"}):
        figure, axes = _figure(5.2, 1.1 + 0.52 * len(gaps))
        for row, (label, gap) in enumerate(gaps):
            shown = _MARK[("neutral", "accent", "wrong")[good * gap.sign]]
            axes.plot([gap.low, gap.high], [row, row], color=shown, lw=2, solid_capstyle="round")
            axes.plot([gap.mean], [row], "o", color=shown, ms=6)
            for text, side, shift in ((label, 0, 2), (gap.value(signed=True), 1, -2)):
                axes.annotate(
                    text,
                    (side, row),
                    (shift, 8),
                    ("axes fraction", "data"),
                    "offset points",
                    ha="right" if side else "left",
                    fontsize=9,
                    bbox={"fc": _MARK["paper"], "ec": "none", "pad": 1.0},
                )
        axes.axvline(0, color=_MARK["muted"], lw=1)
        axes.set(ylim=(len(gaps) - 0.4, -0.85), yticks=[], xlabel=across)
        axes.margins(x=0.08)
        return _svg(figure, f"{across} with 95 % intervals")


_ROLES = {"seen": "accent", "not seen": "wrong", "can't tell": "neutral"}

_EDGE = 4.0
"""Margins from zero beyond which a claim's difference is drawn at the edge."""


def claims(answers: Sequence[Answer]) -> Html:
    """The difference of each claim in units of its margin, the way that was claimed to the right.

    Measures have units of their own; what all claims share is a smallest difference that matters.
    The band within it is the "same" of claims that say so.
    """
    with matplotlib.rc_context(_STYLE | {"axes.grid": False}):
        figure, axes = _figure(7.2, 0.9 + 0.27 * len(answers))
        axes.axvspan(-1, 1, color=_MARK["rule"], alpha=0.45, lw=0)
        axes.axvline(0, color=_MARK["muted"], lw=1)
        for row, one in enumerate(answers):
            low, mean, high = _in_margins(one)
            shown = _MARK[_ROLES[one.verdict]]
            axes.plot([low, high], [row, row], color=shown, lw=2, solid_capstyle="round")
            axes.plot([mean], [row], "o", color=shown, ms=5, clip_on=False)
        names = [f"{one.claim.name}: {one.verdict}" for one in answers]
        axes.set_yticks(range(len(answers)), names, color=_MARK["ink"], fontsize=8.5)
        axes.set(
            xlim=(-_EDGE, _EDGE),
            ylim=(len(answers) - 0.4, -0.6),
            xlabel="Difference \u00f7 smallest that matters; as claimed, to the right",
        )
        return _svg(figure, "Claims, with 95 % intervals")


def _in_margins(one: Answer) -> tuple[float, float, float]:
    """Low, mean and high of a difference, within the edges of the picture."""
    way = (-1 if one.claim.expect == "less" else 1) / one.claim.margin
    gap = one.difference
    low, mean, high = np.clip(
        sorted(way * end for end in (gap.low, gap.mean, gap.high)), -_EDGE, _EDGE
    )
    return float(low), float(mean), float(high)


def score_against_length(evaluation: Evaluation) -> Html:
    """Each report's score over its length relative to the reference, and the mean by length."""
    reference = np.array([max(len(text.split()), 1) for text in evaluation.references])
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.2, 3.7)
        for system in _ends(evaluation):
            ratio = system.columns["words"] / reference
            score = system.columns["score"]
            colour = _colour(evaluation, system)
            axes.plot(ratio, score, "o", ms=3.6, mew=0, color=colour, alpha=0.4)
            axes.plot(*_trend(ratio, score), color=colour, lw=2.2, label=system.name)
        axes.axvline(evaluation.long_ratio, color=_MARK["muted"], lw=0.9, ls=(0, (3, 3)))
        axes.annotate(
            "over-long",
            (evaluation.long_ratio, 1),
            (4, -2),
            ("data", "axes fraction"),
            "offset points",
            va="top",
            color=_MARK["muted"],
            fontsize=8.5,
        )
        axes.set(xlabel="Words \u00f7 words of the reference", ylabel="Score", xlim=(0, None))
        axes.set_ylim(-0.03, max(1.0, axes.get_ylim()[1]) + 0.08)
        _legend(axes)
        return _svg(figure, "Score of each report against its relative length")


def named_points(
    points: Mapping[str, tuple[Interval, Interval]],
    across: str,
    up: str,
    *,
    quiet: Collection[str] = (),
) -> Html:
    """One labelled point a run, with its intervals; those to measure others against are `quiet`."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.2, 3.7)
        for name, (x, y) in points.items():
            colour = _MARK["neutral" if name in quiet else "accent"]
            axes.plot([x.low, x.high], [y.mean, y.mean], color=colour, lw=1.0, alpha=0.4)
            axes.plot([x.mean, x.mean], [y.low, y.high], color=colour, lw=1.0, alpha=0.4)
            axes.plot(x.mean, y.mean, "o", ms=6, mew=0, color=colour)
            at, beside = (x.mean, y.mean), (6, -11 if name in quiet else 4)
            axes.annotate(name, at, beside, textcoords="offset points", fontsize=8.5)
        axes.set(xlabel=across, ylabel=up)
        axes.margins(x=0.2, y=0.15)
        return _svg(figure, f"{up} against {across.lower()}, one point a run")


def length_histogram(words: Mapping[str, Mapping[int, int]]) -> Html:
    """Share of the reports of each split by their number of words; the longest 1 % is left out.

    Args:
      words: For each split, number of words -> reports.
    """
    counts = {split: np.array(sorted(found.items())) for split, found in words.items()}
    lengths = np.concatenate([np.repeat(*pairs.T) for pairs in counts.values()])
    last = float(np.quantile(lengths, 0.99))
    edges = np.arange(0, last + 1.001, max(1, round(last / 24))) - 0.5
    colours = dict(zip(counts, ("accent", "neutral", "doubt"), strict=False))
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.2, 3.7)
        for split, pairs in counts.items():
            heights, _ = np.histogram(pairs[:, 0], edges, weights=pairs[:, 1])
            colour = _MARK[colours[split]]
            shares = 100 * heights / pairs[:, 1].sum()
            axes.stairs(shares, edges, color=colour, alpha=0.18, fill=True)
            axes.stairs(shares, edges, color=colour, lw=1.6, label=split)
        axes.set(xlabel="Words of the findings", ylabel="Share of reports, %", xlim=(0, edges[-1]))
        _legend(axes)
        return _svg(figure, "Length of reports by split")


def label_shares(labels: Mapping[str, Mapping[str, int]], studies: int) -> Html:
    """How many studies have each label, and how many may have it.

    Args:
      labels: In the order shown; of each, how often it is `present`, `uncertain` and `absent`.
      studies: All of them, with those of which a source says nothing.
    """
    with matplotlib.rc_context(_STYLE | {"axes.grid.axis": "x"}):
        figure, axes = _figure(5.2, 1.0 + 0.3 * len(labels))
        rows = np.arange(len(labels))
        left = np.zeros(len(labels))
        for said, role in (("present", "accent"), ("uncertain", "doubt")):
            share = np.array([100 * found[said] / studies for found in labels.values()])
            if share.any():
                axes.barh(rows, share, 0.66, left, color=_MARK[role], label=said)
            left += share
        axes.set_yticks(rows, list(labels))
        axes.tick_params(axis="y", labelcolor=_MARK["ink"])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="Share of studies, %")
        _legend(axes)
        return _svg(figure, "Share of studies with each label")


def label_f1(evaluation: Evaluation) -> Html:
    """F1 of each label, baseline and system under test; how many references have it in brackets."""
    systems = [system for system in _ends(evaluation) if system.labels is not None]
    with matplotlib.rc_context(_STYLE | {"axes.grid.axis": "x"}):
        figure, axes = _figure(5.2, 6.2)
        height = 0.74 / len(systems)
        for k, system in enumerate(systems):
            assert system.labels is not None
            rows = np.arange(len(system.labels.names))
            at = rows + (k - (len(systems) - 1) / 2) * height
            colour = _colour(evaluation, system)
            f1 = np.nan_to_num([one.mean for one in system.labels.f1])
            axes.barh(at, f1, height * 0.88, color=colour, label=system.name)
            for y, one in zip(at, system.labels.f1, strict=True):
                axes.plot([one.low, one.high], [y, y], color=_MARK["ink"], lw=0.9, alpha=0.75)
        labels = systems[0].labels
        assert labels is not None
        names = zip(labels.names, labels.support, strict=True)
        axes.set_yticks(rows, [f"{name} ({count or '-'})" for name, count in names])
        axes.tick_params(axis="y", labelcolor=_MARK["ink"])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, 1), xlabel="F1")
        _legend(axes)
        return _svg(figure, "F1 of each label")


def training_curves(curves: Mapping[str, Curve]) -> list[Html]:
    """One picture a stage and metric that its log has, of those in `CURVES`."""
    return [
        _curve(f"{stage}: {title[0].lower()}{title[1:]}", name, curve)
        for stage, curve in curves.items()
        for name, title in CURVES.items()
        if sum(name in row for row in curve) > 1
    ]


def _curve(title: str, name: str, curve: Curve) -> Html:
    rows = [row for row in curve if name in row]
    steps = np.array([row["step"] for row in rows], np.float64)
    values = np.array([row[name] for row in rows], np.float64)
    # The same frame for all curves, so that neighbours line up.
    with matplotlib.rc_context(_STYLE | {"figure.constrained_layout.use": False}):
        figure, axes = _figure(5.2, 2.6)
        figure.subplots_adjust(left=0.08, right=0.965, bottom=0.19, top=0.86)
        axes.plot(steps, values, color=_MARK["accent"], lw=0.8, alpha=0.4)
        axes.plot(steps, _smooth(values), color=_MARK["accent"], lw=2.0)
        axes.set(title=title, xlabel="Step")
        axes.margins(x=0.01)
        last = number(float(_smooth(values)[-1]))
        return _svg(figure, f"{title} over steps, last value {last}")


def _smooth(values: Array) -> Array:
    """Centred running mean over a twentieth of the curve; at the ends over what is there."""
    reach = max(1, len(values) // 40)
    kernel = np.ones(min(2 * reach + 1, len(values)))
    total = np.convolve(values, kernel, mode="same")
    return np.asarray(total / np.convolve(np.ones_like(values), kernel, mode="same"))


def _trend(x: Array, y: Array, bins: int = 6) -> tuple[Array, Array]:
    """Mean x and mean y of equally large groups in the order of x."""
    groups = np.array_split(np.argsort(x, kind="stable"), min(bins, len(x)))
    return np.array([x[g].mean() for g in groups]), np.array([y[g].mean() for g in groups])


def _ends(evaluation: Evaluation) -> list[SystemResult]:
    return [evaluation.baseline, *evaluation.systems[1:][-1:]]


def _colour(evaluation: Evaluation, system: SystemResult) -> str:
    return _MARK["accent" if system is evaluation.test else "neutral"]


def _group_name(axes: Axes, at: float, name: str) -> None:
    below = ("data", "axes fraction")
    bold: Any = {"ha": "center", "va": "top", "weight": "bold"}
    axes.annotate(textwrap.fill(name, 14), (at, 0), (0, -21), below, "offset points", **bold)


def _bar(axes: Axes, at: float, mean: Interval, colour: str, opacity: float) -> None:
    axes.bar(at, mean.mean, 0.9 * _BAR, color=colour, alpha=opacity)
    axes.plot([at, at], [mean.low, mean.high], color=_MARK["ink"], lw=1.2)
    axes.annotate(
        mean.value(), (at, mean.high), (0, 4), textcoords="offset points", ha="center", fontsize=9
    )


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # a second to import, and few stages draw

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _svg(figure: Figure, label: str) -> Html:
    """The drawing as SVG that takes its colours and type from the page around it."""
    buffer = io.StringIO()
    # The salt keeps the ids of one page's pictures apart and each picture the same in every run.
    with matplotlib.rc_context({"svg.hashsalt": label}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for role, mark in _MARK.items():
        text = text.replace(mark, f"var(--{role})")
    text = re.sub(r"font-family: [^;\"]+", "font-family: var(--sans)", text)
    text = re.sub(r"font: ([^;\"]*px) [^;\"]+", r"font: \1 var(--sans)", text)
    text = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", text, count=1)
    text = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", text, count=1)
    return Html(text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))
