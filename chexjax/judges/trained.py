"""Judges that were trained here: the folder of the one that is shipped, and how a folder is used.

A judge's folder is a Hugging Face checkpoint with its tokenizer, its question (`question.txt`) and
`judge.json`, which names the preset and the most tokens of an answer.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from transformers import PreTrainedTokenizerFast

from chexjax.data.batches import pad_rows
from chexjax.engine import Sampler, make_generate
from chexjax.families import TextFamily, preset
from chexjax.judges.prompt import Prompt, read_prompt
from chexjax.models import LanguageModel, Prefix
from chexjax.weights import load_model

SHIPPED = "green_nano"
QUESTION_FILE = "question.txt"
JUDGE_FILE = "judge.json"
_STEP = 32  # lengths of questions are rounded up to it, so that few programs are compiled


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


def write_answers(
    judge: TrainedJudge, pairs: Sequence[tuple[str, str]], *, unit: int = 64
) -> list[str]:
    """The judge's answers about pairs of a reference and a candidate, greedy.

    Questions of like length are answered together, `unit` at a time.
    """
    questions = [judge.prompt(*pair) for pair in pairs]
    asked = [judge.tokenizer.encode(q, add_special_tokens=False) for q in questions]
    end = int(judge.tokenizer.eos_token_id)
    generate = make_generate(judge.model, Sampler(temperature=0.0), end=end, limit=judge.limit)
    order = sorted(range(len(asked)), key=lambda k: len(asked[k]))
    answers = [""] * len(asked)
    for first in range(0, len(order), unit):
        rows = order[first : first + unit]
        filled = [asked[k] for k in rows] + [asked[rows[0]]] * (unit - len(rows))
        written = jax.device_get(generate(*_arrays(filled)))
        for place, k in enumerate(rows):
            ids = written.tokens[place, 0, : written.lengths[place, 0]]
            answers[k] = str(judge.tokenizer.decode(ids, skip_special_tokens=True))
    return answers


def _arrays(asked: Sequence[Sequence[int]]) -> tuple[Prefix, jax.Array, jax.Array]:
    """A batch of questions as the generator takes it."""
    before = [ids[:-1] for ids in asked]
    length = -(-max(map(len, before)) // _STEP) * _STEP
    prefix = Prefix(
        tokens=jnp.asarray(pad_rows(before, length, np.int32)),
        valid=jnp.asarray(pad_rows([[True] * len(ids) for ids in before], length, bool)),
    )
    last = jnp.asarray([ids[-1] for ids in asked], jnp.int32)
    return prefix, last, jax.random.split(jax.random.key(0), (len(asked), 1))
