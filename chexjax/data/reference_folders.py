"""The data sets that CheXalign's code hands from step to step, as rows.

They are folders that Hugging Face `datasets` wrote; each step's name is the one before with
something behind it. The columns are those of the released code, which loses the study's id after
the first step; ours have it beside, in a column that the code passes over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

STUDY = "study_id"
REWARDS = ("reward_chosen", "reward_rejected")

TASK = "findings-generation-with-indication"
COMPLETIONS, GATHERED, FINAL, KTO = "-completions", "-gathered", "-final", "_kto"
"""What stands behind a name; before `-gathered`, the judge's."""

_PROMPT = 'Given the indication: "{}", write a structured findings section for the CXR.'
_SPAN = re.compile(r"<\|img\|>(.*?)<\|/img\|>", re.DOTALL)
_CANDIDATE = re.compile(r"candidate_findings_(\d+)")
_SCORE = re.compile(r"(.+)_scores(\d+)")
_SHOWN = 2  # images of a study that the code ever shows

Row = dict[str, Any]


def study_of(row: Mapping[str, Any], studies: Mapping[str, Any]) -> str | None:
    """The study that a row is about, by the paths of its images.

    Folders that it lies in, as far up as they make an id, or its name without its ending: as
    `s50414267` in MIMIC-CXR's tree and `patient42142/study5` in CheXpert Plus'.

    Args:
      row: With `image_path`, or with image spans in its `prompt`.
      studies: All ids.

    Returns:
      The id, or None where no path names one.
    """
    named = row.get("image_path") or _SPAN.findall(str(row.get("prompt", "")))
    for path in named.split("|") if isinstance(named, str) else named:
        parts = [part for part in re.split(r"[/\\]", str(path).strip()) if part]
        names = ["/".join(parts[k:-1]) for k in range(len(parts) - 1)]
        names += (part.rpartition(".")[0] for part in parts[-1:])
        if found := next((name for name in names if name in studies), None):
            return found
    return None


def candidates_of(row: Mapping[str, Any]) -> dict[int, Any]:
    """The candidates of a row by their numbers, from 1; of any other row none."""
    names = sorted((int(found[1]), name) for name in row if (found := _CANDIDATE.fullmatch(name)))
    return {number: row[name] for number, name in names}


def scores_of(row: Mapping[str, Any]) -> dict[str, dict[int, Any]]:
    """What judges said of candidates, by their numbers: `green_scores1` and so on are GREEN's."""
    judged: dict[str, dict[int, Any]] = {}
    for name, value in row.items():
        if found := _SCORE.fullmatch(name):
            judged.setdefault(found[1], {})[int(found[2])] = value
    return judged


def source_row(study: Mapping[str, Any], paths: Sequence[str], source: str) -> Row:
    """What the code samples from, of a row of `studies`."""
    return {
        STUDY: study["id"],
        "data_source": source,
        "image_path": list(paths),
        "text": study["indication"],
        "target_text": study["findings"],
    }


def completions_row(source: Row, reports: Sequence[str]) -> Row:
    """A study with its candidates."""
    return {
        STUDY: source[STUDY],
        "data_source": source["data_source"],
        "image_path": source["image_path"],
        "section_indication": source["text"],
        "section_findings": source["target_text"],
        "prompt": _PROMPT.format(source["text"]),
        **{f"candidate_findings_{k}": report for k, report in enumerate(reports, 1)},
    }


def gathered_row(completions: Row, scores: Sequence[float], judge: str) -> Row:
    """Candidates with their scores; GREEN's are `green_scores1` and so on."""
    named = {f"{judge}_scores{k}": score for k, score in enumerate(scores, 1)}
    return {**completions, **named}


def pair_row(source: Row, pair: Mapping[str, Any]) -> Row:
    """A pair, with the images' paths in its prompt."""
    return {
        STUDY: source[STUDY],
        "prompt": _prompt(source),
        "chosen": pair["chosen"],
        "rejected": pair["rejected"],
        "reference": source["target_text"],
        **dict(zip(REWARDS, pair["rewards"], strict=True)),
    }


def kto_rows(source: Row, pair: Mapping[str, Any]) -> Iterator[Row]:
    """Two rows of a pair, or the one of a single report."""
    if "completion" in pair:
        labelled = [(pair["completion"], bool(pair["desirable"][0]))]
    else:
        labelled = [(pair["chosen"], True), (pair["rejected"], False)]
    for text, label in labelled:
        yield {
            STUDY: source[STUDY],
            "prompt": _prompt(source),
            "completion": text,
            "label": label,
        }


def _prompt(source: Row) -> str:
    """CheXagent-2's list format: each image as a span with its path, then the question."""
    images = enumerate(source["image_path"][:_SHOWN], 1)
    spans = "".join(f"Picture {number}:<|img|>{path}<|/img|>\n" for number, path in images)
    return spans + _PROMPT.format(source["text"])
