"""The alignment tax on a page and on the console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from chexjax.evaluate import significance
from chexjax.evaluate.cells import cell, per_cent
from chexjax.evaluate.chexbench import MEAN, Bench, TaskResult, TextResult
from chexjax.evaluate.significance import number
from chexjax.page import Html, join, table, tag

TITLE = "Alignment tax"

LEAD = (
    "What alignment for reports has cost elsewhere: the policies answer questions of CheXbench's "
    "tasks, which alignment never showed them."
)

_PROTOCOLS = {
    "sum": ("By sum", "summed log-likelihood of an option"),
    "mean": ("By mean", "log-likelihood of an option per token"),
    "generate": ("By generation", "the letter in a written answer"),
}


def verdict(bench: Bench) -> list[str]:
    """What alignment has cost, one sentence for each protocol."""
    return [_sentence(bench, name, found[-1]) for name, found in bench.protocols.items() if found]


def section(bench: Bench) -> Html:
    """The tables, a protocol each, then the tasks that ask for a text."""
    parts = [tag("ul", *(tag("li", line) for line in verdict(bench)))]
    parts += [_choices(bench, name, found) for name, found in bench.protocols.items() if found]
    if bench.texts:
        parts.append(_texts(bench))
    return join([*parts, tag("p", _note(bench), class_="note")])


def show(bench: Bench, console: Console) -> None:
    """Prints the verdict."""
    for line in verdict(bench):
        console.print(line, highlight=False)


def _sentence(bench: Bench, protocol: str, result: TaskResult) -> str:
    verbs = {-1: "answers worse than", 0: "cannot be told apart from", 1: "answers better than"}
    after, before = (result.accuracy[name].mean for name in (bench.test, bench.baseline))
    gap = result.difference.percent
    said = (
        f"{_PROTOCOLS[protocol][0]} ({_PROTOCOLS[protocol][1]}), {bench.test} "
        f"{verbs[gap.sign]} {bench.baseline}: {per_cent(after)} right against {per_cent(before)}, "
        f"chance {per_cent(result.chance)}; difference {gap.value(1, signed=True)} points "
        f"(95 % interval {gap.span(1, signed=True)})."
    )
    lost = result.unreadable
    if any(lost.values()):
        shares = ", ".join(f"{name} {per_cent(share)}" for name, share in lost.items())
        said += f" Answers that name no option, counted as wrong: {shares}."
    return said


def _choices(bench: Bench, protocol: str, found: Sequence[TaskResult]) -> Html:
    names = (bench.baseline, bench.test)
    reads = protocol == "generate"
    header = [_PROTOCOLS[protocol][0], *names, "Difference", "Chance"]
    header += [f"Unreadable, {name}" for name in names] if reads else []
    header.append("Questions")
    rows = []
    for one in found:
        cells: list[str] = [cell(one.accuracy[name].percent, 1) for name in names]
        cells.append(cell(one.difference.percent, 1, signed=True))
        plain = [one.chance, *([one.unreadable[name] for name in names] if reads else [])]
        cells += [number(100 * share, 1) for share in plain]
        cells.append(f"{one.questions:,}")
        first = tag("strong", one.task) if one.task == MEAN else one.task
        rows.append([first, *cells])
    return table(header, rows, strong=2)


def _texts(bench: Bench) -> Html:
    names = (bench.baseline, bench.test)
    header = ["Texts", *names, "Difference", "Judge", "Number"]
    return table(header, [_text_row(one, names) for one in bench.texts], strong=2)


def _text_row(one: TextResult, names: Sequence[str]) -> list[str]:
    cells = [*(cell(one.score[name]) for name in names), cell(one.difference, signed=True)]
    return [one.task, *cells, one.judge, f"{one.texts:,}"]


def _note(bench: Bench) -> str:
    said = (
        f"Questions: {bench.source}. All shares in per cent. Small figures: 95 % intervals from "
        f"{significance.RESAMPLES:,} bootstrap draws of the questions, the same for both policies. "
        "Chance: a blind guess among the options."
    )
    if averaged := next((found[-1].averaged for found in bench.protocols.values() if found), ()):
        said += f" {MEAN}: over {', '.join(averaged)}."
    if bench.left_out:
        said += (
            f" {bench.left_out:,} questions could not be asked; each folder of chexbench has a "
            "rejects.jsonl that says why."
        )
    if bench.ignored:
        said += f" Tasks of the file that were not asked: {', '.join(bench.ignored)}."
    return said
