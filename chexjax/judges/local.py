"""A GREEN judge that runs here: the shipped one, one that was trained, or any checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp

from chexjax.artefacts.files import sha256
from chexjax.config import local
from chexjax.data.tokens import read_tokenizer, tokenizer_files
from chexjax.engine import EngineConfig
from chexjax.families import Template, TextFamily, preset
from chexjax.judges.answer import LONGEST
from chexjax.judges.prompt import Prompt, Question, official_prompt, read_prompt
from chexjax.judges.store import Answer
from chexjax.judges.trained import JUDGE_FILE, QUESTION_FILE, TrainedJudge, shipped, told
from chexjax.judges.writer import EngineWriter
from chexjax.mesh import current_mesh
from chexjax.models import quantize_int8
from chexjax.weights import load_model, open_checkpoint

_FIELD = "judge.green.local"
_LLAMA = Template(
    opening="",
    image="",
    question="",
    closing="",
    placeholder="",
    end="</s>",
    special=("<s>", "</s>", "<unk>"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Local:
    """A judge that runs here.

    Attributes:
      folder: Its checkpoint with its tokenizer; the judge that comes with chexjax where it is
        empty.
      preset: Its text family, where the folder has no `judge.json` to say so. GREEN's is
        "green_llama2_7b".
      max_tokens: Most tokens of an answer; 0 for what the folder says, or 1,024.
      full: Answers to their end; without it they end where the score is decided.
      int8: Keep the weights of linear layers as int8.
      engine: How questions are batched, and how keys and values are kept.
    """

    folder: str = local("")
    preset: str = ""
    max_tokens: int = 0
    full: bool = False
    int8: bool = False
    engine: EngineConfig = EngineConfig(slots=64, bucket=64)

    @property
    def exact(self) -> Local:
        """The same judge in full precision, which trusts no draft."""
        engine = dataclasses.replace(self.engine, kv="compute", trust=1.0)
        return dataclasses.replace(self, int8=False, engine=engine)

    @property
    def path(self) -> Path:
        """The judge's folder."""
        return Path(self.folder) if self.folder else shipped()

    def prompt(self) -> Prompt:
        """What it was trained to be asked: a question in its folder, or GREEN's own.

        Raises:
          ValueError: it cannot be read.
        """
        own = self.path / QUESTION_FILE
        return read_prompt(own) if own.is_file() else official_prompt()

    def known(self) -> tuple[TextFamily, int]:
        """Its family, and the most tokens of an answer.

        Raises:
          ValueError: nobody says so, or there is no such preset.
        """
        name, limit = self.preset, LONGEST
        if (self.path / JUDGE_FILE).is_file():
            name, limit = told(self.path)
        if not name:
            raise ValueError(
                f"{_FIELD}.preset='': {self.path} has no {JUDGE_FILE}; set it to the text family "
                "of the checkpoint, such as 'green_llama2_7b'"
            )
        return preset(name, TextFamily), self.max_tokens or limit


class LocalWriter:
    """Writes answers with a model that is loaded when the first question comes."""

    def __init__(self, config: Local, prompt: Prompt) -> None:
        """Reads the bytes of its files, once a process, to know the judge by.

        Raises:
          ValueError: there is no judge in the folder.
        """
        self._config, self._prompt = config, prompt
        self._family, self._limit = config.known()
        files = [*open_checkpoint(config.path).files, *tokenizer_files(config.path)]
        kept = config.engine
        self._identity = (
            "local",
            *(sha256(file) for file in files),
            self._family.name,
            *(self._limit, int(config.full), int(config.int8)),
            *(kept.kv, kept.draft, str(kept.trust)),
        )
        self._writer: EngineWriter | None = None

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What decides its answers, beside the question."""
        return self._identity

    def write(
        self, questions: Sequence[Question], keep: Callable[[int, Answer], None], *, again: bool
    ) -> None:
        """Answers questions; see `EngineWriter.write`."""
        if self._writer is None:
            self._writer = self._load()
        self._writer.write(questions, keep, again=again)

    def _load(self) -> EngineWriter:
        config, mesh = self._config, current_mesh()
        dtype = jnp.float32 if mesh.devices.flat[0].platform == "cpu" else jnp.bfloat16
        model = load_model(config.path, self._family, mesh=mesh, param_dtype=dtype, dtype=dtype)
        if config.int8:
            quantize_int8(model)
        judge = TrainedJudge(
            model, read_tokenizer(config.path, _LLAMA), self._prompt, self._limit, self._family.chat
        )
        return judge.writer(self._identity, full=config.full, config=config.engine)
