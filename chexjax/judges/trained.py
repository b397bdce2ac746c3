"""Judges that were trained here: the folder of the one that is shipped, and how a folder is used.

A judge's folder is a Hugging Face checkpoint with its tokenizer, its question (`question.txt`) and
`judge.json`, which has the preset, the most tokens of an answer, and the settings of all runs that
trained it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from transformers import PreTrainedTokenizerFast

from chexjax.engine import EngineConfig
from chexjax.families import Chat, TextFamily, preset
from chexjax.judges.prompt import Prompt, read_prompt
from chexjax.judges.store import Answer
from chexjax.judges.writer import EngineWriter
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
      chat: Turns around a question; None where it is asked as it is.
    """

    model: LanguageModel
    tokenizer: PreTrainedTokenizerFast
    prompt: Prompt
    limit: int
    chat: Chat | None = None

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
        name, limit = told(folder)
        model = load_model(folder, preset(name, TextFamily), mesh=mesh, **options)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        return cls(model, tokenizer, read_prompt(folder / QUESTION_FILE), limit)

    def writer(self, identity: Sequence[str | int] = (), **options: Any) -> EngineWriter:
        """What writes its answers; see there for options."""
        return EngineWriter(
            self.model,
            self.tokenizer,
            self.prompt,
            identity=identity,
            limit=self.limit,
            chat=self.chat,
            **options,
        )


def told(folder: Path) -> tuple[str, int]:
    """What a judge's folder says of it: its preset, and the most tokens of an answer.

    Raises:
      ValueError: it says nothing of the kind.
    """
    said = _said(folder)
    return said["preset"], said["limit"]


def made(folder: Path) -> list[Mapping[str, Any]]:
    """Settings of each run that trained a judge, the first one first.

    Raises:
      ValueError: its folder does not describe it.
    """
    runs: list[Mapping[str, Any]] = _said(folder)["made"]
    return runs


def _said(folder: Path) -> dict[str, Any]:
    try:
        said = json.loads((folder / JUDGE_FILE).read_text("utf-8"))
        return {
            "preset": str(said["preset"]),
            "limit": int(said["limit"]),
            "made": list(said.get("made", [])),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{folder / JUDGE_FILE} does not name a judge's preset and limit: {error!r}; give "
            "a folder that train_judge wrote"
        ) from error


def write_answers(judge: TrainedJudge, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The judge's whole answers about pairs of a reference and a candidate, greedy."""
    answers: dict[int, str] = {}

    def keep(number: int, answer: Answer) -> None:
        answers[number] = answer.text

    writer = judge.writer(full=True, config=EngineConfig(slots=_SLOTS, bucket=64))
    writer.write([judge.prompt(*pair) for pair in pairs], keep, again=False)
    return [answers[number] for number in range(len(pairs))]
