"""The model card of a judge that was trained here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chexjax.families import TextFamily
from chexjax.judges.answer import CATEGORIES, LABELS
from chexjax.stages.config import TrainJudgeConfig

_HEAD = """---
library_name: chexjax
pipeline_tag: text-generation
license: apache-2.0
tags:
- chest-x-ray
- radiology-report-evaluation
---
"""
_LIMITS = """## Limits

For research and for trying chexjax out. It stands in for GREEN where GREEN cannot be had, and knows
no medicine: it has learnt the words of made-up reports or of the reports it was given, and what it
says of any others means nothing. About reports much longer than those its answers may be malformed.
It is no medical device.
"""
_MADE = {
    "content": "phantom reports that were written with other findings, places, grades and "
    "comparisons, in other words, and with slips of the kind that language models make; the "
    "phantoms' oracle, which reads reports by rule, knows their counts",
    "edits": "reports whose text was changed by rule; what each change counts as is known",
}
_NAMES = {
    "matched": "matched findings",
    **{c: f"({c}) {label}" for c, label in zip(CATEGORIES, LABELS, strict=True)},
    "insignificant": "insignificant errors",
}


def judge_card(
    family: TextFamily,
    statistics: Mapping[str, Any],
    config: TrainJudgeConfig,
    made: Sequence[Mapping[str, Any]],
) -> str:
    """Markdown with what the judge is, how it was trained, and how it did in its examinations.

    Args:
      family: Its family.
      statistics: Of its artefact.
      config: Of the run that made it.
      made: Settings of that run, behind those of the runs before from which it went on.
    """
    before = ", from a judge that runs before had trained" if made[1:] else ""
    lines = [
        f"# {family.name}",
        "",
        f"A judge of chest X-ray reports with {statistics['parameters']:,} parameters. It reads a "
        "reference and a candidate and answers in the format of GREEN (Ostmeier et al., 2024, "
        "arXiv:2405.03595): an explanation, significant and insignificant errors of six kinds, and "
        "matched findings, each with its count.",
        "",
        f"It learnt from {_MADE[config.errors]}. Its last run took {statistics['steps']:,} steps "
        f"over {statistics['examples']:,} references of {statistics['candidates']} candidates "
        f"each{before}. An answer has {statistics['answer_tokens']:.0f} tokens in the mean.",
        "",
        *(
            line
            for name, found in statistics["examinations"].items()
            for line in _examination(name, found)
        ),
        "## Config",
        "",
        "Of each run, the last one last; `chexjax train_judge` runs it again.",
        *(f"\n```json\n{json.dumps(settings, indent=2, sort_keys=True)}\n```" for settings in made),
        "",
        _LIMITS,
    ]
    return _HEAD + "\n".join(lines)


def _examination(name: str, found: Mapping[str, Any]) -> list[str]:
    return [
        f"## Examination: {name}",
        "",
        f"{found['pairs']:,} pairs that it had not seen. {found['well_formed']:.2%} of its answers "
        f"are well formed. Of these, {found['exact']:.1%} have the true score, and the mean "
        f"absolute error is {found['error']:.3f}.",
        "",
        "| score | Kendall's tau with the truth |",
        "|---|---|",
        f"| this judge | {found['tau']:.3f} |",
        f"| ROUGE-L | {found['tau_rouge_l']:.3f} |",
        f"| number of words | {found['tau_length']:.3f} |",
        "",
        "| kind | true | said | precision | recall | equal counts |",
        "|---|---|---|---|---|---|",
        *(
            f"| {_NAMES[kind]} | {row['true']:,} | {row['said']:,} | {row['precision']:.3f} | "
            f"{row['recall']:.3f} | {row['agreement']:.1%} |"
            for kind, row in found["categories"].items()
        ),
        "",
    ]
