"""Errors in what a report says, one at a time, each of a known kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from chexjax.data.phantom.findings import KINDS, Finding
from chexjax.data.phantom.grammar import CHANGES, Content, pick


def inject(
    content: Content, category: str, kinds: Sequence[str], rng: np.random.Generator
) -> Content:
    """Puts one error into what a report says, where there is room for it.

    Args:
      content: What the reference says.
      category: One of GREEN's, `"a"` to `"f"`: a false finding, a missing one, a wrong place, a
        wrong grade, another comparison, one left out.
      kinds: What false findings can be.
      rng: Source of the choices.

    Returns:
      The content with the error; as it was where it has nothing to get wrong in that way.
    """
    return _INJECTIONS[category](content, kinds, rng)


def _false(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    absent = [k for k in kinds if k not in {f.kind for f in content.findings}]
    if not absent:
        return content
    kind = pick(absent, rng)
    table = KINDS[kind]
    options = {"side": table.sides, "severity": table.severities, "zone": table.zones}
    made = Finding(kind=kind, **{name: pick(x, rng) for name, x in options.items() if x})
    denied = tuple(tuple(k for k in d if k != kind) for d in content.denied)
    return dataclasses.replace(
        content, findings=(*content.findings, made), denied=tuple(d for d in denied if d)
    )


def _missing(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    if not content.findings:
        return content
    gone = int(rng.integers(len(content.findings)))
    return dataclasses.replace(
        content, findings=tuple(f for k, f in enumerate(content.findings) if k != gone)
    )


def _misplaced(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    return _changed(content, ("side", "zone"), rng)


def _misgraded(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    return _changed(content, ("severity",), rng)


def _changed(content: Content, fields: Sequence[str], rng: np.random.Generator) -> Content:
    """Another value for one of the fields of one of the findings that has any."""
    found = [
        (k, field, [x for x in options if x != getattr(f, field)])
        for k, f in enumerate(content.findings)
        for field, options in _options(f).items()
        if field in fields and options
    ]
    if not found:
        return content
    place, field, options = found[int(rng.integers(len(found)))]
    findings = list(content.findings)
    findings[place] = dataclasses.replace(findings[place], **{field: pick(options, rng)})
    return dataclasses.replace(content, findings=tuple(findings))


def _options(finding: Finding) -> dict[str, tuple[str, ...]]:
    table = KINDS[finding.kind]
    return {"side": table.sides, "severity": table.severities, "zone": table.zones}


def _added(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    others = [change for change in CHANGES if change != content.comparison]
    return dataclasses.replace(content, comparison=pick(others, rng))


def _omitted(content: Content, kinds: Sequence[str], rng: np.random.Generator) -> Content:
    return dataclasses.replace(content, comparison=None)


_INJECTIONS: Mapping[str, Callable[[Content, Sequence[str], np.random.Generator], Content]] = {
    "a": _false,
    "b": _missing,
    "c": _misplaced,
    "d": _misgraded,
    "e": _added,
    "f": _omitted,
}


def mistaken(
    content: Content, kinds: Sequence[str], rng: np.random.Generator
) -> tuple[Content, str]:
    """What a radiologist would say who gets one thing wrong, and the category of the error.

    Args:
      content: What is right.
      kinds: What false findings can be.
      rng: Source of the choices; each category that there is room for is as likely as another.
    """
    for category in rng.permutation(list(_INJECTIONS)):
        wrong = inject(content, str(category), kinds, rng)
        if wrong not in (content, Content(findings=())):
            return wrong, str(category)
    raise AssertionError("a report can always compare in another way")
