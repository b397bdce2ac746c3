"""Judges that were trained here: the folder of the one that is shipped, and how a folder is used.

A judge's folder is a Hugging Face checkpoint with its tokenizer, its question (`question.txt`) and
`judge.json`, which names the preset and the most tokens of an answer.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from transformers import PreTrainedTokenizerFast

from chexjax.engine import Engine, EngineConfig, Request
from chexjax.families import TextFamily, preset
from chexjax.judges.prompt import Prompt, read_prompt
from chexjax.models import LanguageModel
from chexjax.weights import load_model

SHIPPED = "green_nano"
QUESTION_FILE = "question.txt"
JUDGE_FILE = "judge.json"
_SLOTS = 64  # answers that are written together


def shipped() -> Path:
    """The folder of the judge that comes with the package."""
    return Path(__file__).parent / SHIPPED


@dataclasses.dataclass(frozen=True)
class TrainedJudge:
    """A judge's parts.

    Attributes:
      model: Its weights.
      tokenizer: Its tokenizer.
      prompt: What it is asked.
      limit: Most tokens of an answer.
    """

    model: LanguageModel
    tokenizer: PreTrainedTokenizerFast
    prompt: Prompt
    limit: int

    @classmethod
    def load(cls, folder: Path, mesh: Mesh, **options: Any) -> TrainedJudge:
        """Reads a judge's folder.

        Args:
          folder: Written by `train_judge`, or `shipped()`.
          mesh: Where its parameters are put.
          options: Of the model, such as its compute dtype.

        Raises:
          ValueError: a file is missing or is not what it should be.
        """
        try:
            told = json.loads((folder / JUDGE_FILE).read_text("utf-8"))
            name, limit = str(told["preset"]), int(told["limit"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{folder / JUDGE_FILE} does not name a judge's preset and limit: {error!r}; give "
                "a folder that train_judge wrote"
            ) from error
        model = load_model(folder, preset(name, TextFamily), mesh=mesh, **options)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        return cls(model, tokenizer, read_prompt(folder / QUESTION_FILE), limit)


def write_answers(judge: TrainedJudge, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The judge's answers about pairs of a reference and a candidate, greedy.

    Of pairs with the same reference its tokens are read once.
    """
    asked = [
        judge.tokenizer.encode(judge.prompt(*pair), add_special_tokens=False) for pair in pairs
    ]
    groups: dict[str, list[int]] = collections.defaultdict(list)
    for number, (reference, _) in enumerate(pairs):
        groups[reference].append(number)
    members = list(groups.values())
    end = (int(judge.tokenizer.eos_token_id),)
    requests = []
    for rows in members:
        shared = _shared([asked[k] for k in rows])
        prefix, rest = asked[rows[0]][:shared], [asked[k][shared:] for k in rows]
        requests.append(Request(prefix=prefix, rows=rest, limit=judge.limit, end=end))
    answers = [""] * len(pairs)
    for number, written in Engine(judge.model, EngineConfig(slots=_SLOTS)).run(requests):
        for k, row in zip(members[number], written, strict=True):
            answers[k] = str(judge.tokenizer.decode(list(row.tokens), skip_special_tokens=True))
    return answers


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Ids that all rows begin with, one of each left over."""
    least = min(map(len, rows)) - 1
    alike = (len(set(ids)) == 1 for ids in zip(*(row[:least] for row in rows), strict=True))
    return sum(itertools.takewhile(bool, alike))
