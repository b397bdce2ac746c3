"""How one set of findings differs from another, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chexjax.data.phantom import grammar
from chexjax.data.phantom.findings import KINDS, Finding


def changes(
    before: Sequence[Finding], after: Sequence[Finding], *, new: str, gone: str, changed: str
) -> str:
    """A sentence for each way to differ that there is; empty where nothing does.

    Findings stand in the order of `KINDS`, at most one of a kind on either side.

    Args:
      before: What there was.
      after: What there is.
      new: What is said of a kind that came.
      gone: Of one that went.
      changed: Of one whose place or grade is another.
    """
    was, has = ({f.kind: f for f in findings} for findings in (before, after))
    said: dict[str, list[str]] = {new: [], gone: [], changed: []}
    for kind in KINDS:
        if kind in has and kind not in was:
            said[new].append(grammar.name(has[kind]))
        elif kind in was and kind not in has:
            said[gone].append(grammar.name(was[kind]))
        elif kind in was and was[kind] != has[kind]:
            said[changed].append(f"{grammar.name(was[kind])} to {grammar.name(has[kind])}")
    listed = (f"{way}: {', '.join(names)}" for way, names in said.items() if names)
    return " ".join(map(grammar.sentence, listed))


def altered(
    findings: Sequence[Finding], others: Sequence[Finding], rng: np.random.Generator
) -> tuple[Finding, ...]:
    """Findings as a careless reader reports them: as they are, or with one of them wrong.

    One is left out, one of another study's put in, or one takes place and grade of another of its
    kind.

    Args:
      findings: What is true.
      others: Another study's.
      rng: Source of the choices.
    """
    kinds = {f.kind for f in findings}
    ways = [tuple(findings)]
    if findings:
        wrong = int(rng.integers(len(findings)))
        ways.append(tuple(f for k, f in enumerate(findings) if k != wrong))
        swapped = _another(findings[wrong], rng)
        ways.append(tuple(swapped if k == wrong else f for k, f in enumerate(findings)))
    if false := [f for f in others if f.kind not in kinds]:
        ways.append((*findings, false[int(rng.integers(len(false)))]))
    return ways[int(rng.integers(len(ways)))]


def _another(finding: Finding, rng: np.random.Generator) -> Finding:
    """The finding with any side, grade and zone of its kind, which may be its own."""
    table = KINDS[finding.kind]
    options = {"side": table.sides, "severity": table.severities, "zone": table.zones}
    drawn = {name: x[int(rng.integers(len(x)))] for name, x in options.items() if x}
    return dataclasses.replace(finding, **drawn)
