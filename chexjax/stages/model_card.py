"""The model card of an exported policy, made from the manifests of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chexjax.artefacts import Artefact
from chexjax.artefacts.manifest import Manifest, read
from chexjax.evaluate.table import title
from chexjax.families import PolicyFamily

_HEAD = """---
library_name: chexjax
pipeline_tag: image-text-to-text
tags:
- chest-x-ray
- radiology-report-generation
- preference-alignment
---
"""
_LIMITS = """## Limits

For research. This is no medical device: its reports are not to be used for the care of patients.
A higher score is agreement with one judge; see the comparison of length and of the other measures
before it is called a better report. Weights and data that the policy was made from keep their
licences, and so may bind these weights.
"""


def model_card(artefact: Artefact, family: PolicyFamily) -> str:
    """Markdown with what the policy is, how it was trained, and what it scored.

    Args:
      artefact: The policy; what it was made from is told where it lies beside it.
      family: Its family.
    """
    manifest = artefact.manifest
    count = manifest.statistics["parameters"]
    lines = [
        f"# {artefact.path.name}: {family.name}",
        "",
        f"A policy of {count:,} parameters that writes the findings of a chest X-ray, trained with "
        f"chexjax {manifest.versions['chexjax']} (jax {manifest.versions['jax']}).",
        "",
        "## Training",
        "",
        "| artefact | made by | rows | rejects |",
        "|---|---|---|---|",
        *(_row(folder, made) for folder, made in _ancestry(artefact.path, manifest)),
        "",
        "```json",
        json.dumps(manifest.content, indent=2, sort_keys=True),
        "```",
        "",
        *_results(artefact),
        _LIMITS,
    ]
    return _HEAD + "\n".join(lines)


def _ancestry(path: Path, manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """What lies in the run's folder and is what the policy was made from, and the policy."""
    for name, identity in sorted(manifest.inputs.items()):
        if (found := read(path.parent / name)) is not None and found.identity == identity:
            yield name, found
    yield path.name, manifest


def _row(folder: str, manifest: Manifest) -> str:
    statistics = manifest.statistics
    rows = manifest.rows or statistics.get("examples", 0)
    how = ", ".join(f"{statistics[k]:,} {k}" for k in ("steps", "ties") if k in statistics)
    what = f"{manifest.kind}: {how}" if how else manifest.kind
    return f"| {folder} | {what} | {rows:,} | {manifest.rejects:,} |"


def _results(artefact: Artefact) -> list[str]:
    """The report's table, where the run has one of this very policy."""
    report = read(artefact.path.parent / "report")
    if report is None or report.inputs.get(artefact.path.name) != artefact.identity:
        return []
    found: dict[str, Any] = json.loads(
        (artefact.path.parent / "report" / "report.json").read_text()
    )
    systems = found["systems"]
    metrics = {name: title(name) for name in found["metrics"] if not name.startswith("corpus_")}
    names = {"score": "score", "lc_score": "LC score", **metrics, "words": "words"}
    return [
        "## Results",
        "",
        f"On {found['studies']} held-out studies; score by the judge {found['judge']}; means with "
        "95 % bootstrap intervals.",
        "",
        "| | " + " | ".join(system["name"] for system in systems) + " |",
        "|---" * (1 + len(systems)) + "|",
        *(
            f"| {shown} | " + " | ".join(_interval(s[key]) for s in systems) + " |"
            for key, shown in names.items()
        ),
        "",
        *(f"- {sentence}" for sentence in found["verdict"]),
        "",
    ]


def _interval(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
