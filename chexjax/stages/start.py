"""Where a policy starts: random parameters and a new tokenizer, or a checkpoint and its own.

Whatever there is of this list, the first is taken, by every stage that trains:

1. The stage's own finished artefact: nothing is left to do. One of another config is refused.
2. The newest sound checkpoint of the stage's own run, in the `draft` of its folder; a damaged one
   is put aside, and the one before is taken. Never the best one of `keep_best`: that is a result.
3. The policy of the stage before, as its artefact holds it: `align` and `control` start from `sft`.
4. The folder that the config names: `policy.checkpoint` for `sft`, `train_judge.start` for a judge.
   A step that was kept (`sft/kept/STEP`) is such a folder, and so is what `export` writes.
5. Random parameters from the seed.

So what the config names is read by the first stage of a chain alone, and no stage ever goes back to
it once a checkpoint of its own is there. To begin anew, delete the stage's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from chexjax.artefacts import ArtefactError, Draft
from chexjax.artefacts.files import sha256
from chexjax.config import ConfigError
from chexjax.data.bpe import train_bpe
from chexjax.data.tokens import Tokens, prompt_text, tokenizer_files
from chexjax.families import Template
from chexjax.mesh import parameter_shardings
from chexjax.models import LanguageModel, model_class, random_params
from chexjax.stages.config import PolicyConfig, RunConfig
from chexjax.stages.context import Context
from chexjax.stages.fitting import length_in_steps
from chexjax.stages.policies import keep_tokenizer
from chexjax.weights import check_model, checkpoint_files, load_model


def check_start(context: Context) -> None:
    """Finds what is wrong with a checkpoint or tokenizer from its files' headers.

    Raises:
      ConfigError: there is none, it is not of the policy's family, or tokens are missing.
    """
    policy = context.config.policy
    if policy.checkpoint:
        try:
            check_model(Path(policy.checkpoint), context.family)
        except ValueError as error:
            raise ConfigError(f"config.policy.checkpoint: {error}") from error
    if folder := _tokenizer(policy):
        try:
            Tokens.load(folder, context.pair_family)
        except ValueError as error:
            raise ConfigError(f"config.policy.tokenizer: {error}") from error


def require_start(config: RunConfig) -> None:
    """Raises ConfigError where the policy would be random parameters that nothing trains."""
    if not config.policy.checkpoint and not is_trained(config):
        raise ConfigError(
            "config.sft takes no step, so random parameters would be aligned: give a fine-tuned "
            "policy's folder as config.policy.checkpoint, or config.sft a length"
        )


def is_trained(config: RunConfig) -> bool:
    """Whether supervised fine-tuning takes any step."""
    return length_in_steps(config.sft, "sft", rows=1) > 0


def start_content(config: RunConfig) -> Mapping[str, Any]:
    """SHA-256 of the files that a policy starts from; where they lie does not matter.

    All bytes are read, once a process as long as the files stay as they are.
    """
    policy = config.policy
    found: dict[str, Any] = {}
    if policy.checkpoint:
        found["checkpoint"] = [sha256(file) for file in checkpoint_files(Path(policy.checkpoint))]
    if folder := _tokenizer(policy):
        found["tokenizer"] = {file.name: sha256(file) for file in tokenizer_files(folder)}
    return {"start": found} if found else {}


def new_tokens(context: Context, draft: Draft, texts: Iterable[str]) -> Tokens:
    """Gives a draft the tokenizer of the config.

    Where it names none, one is trained on the texts that the policy is going to read and write.

    Raises:
      ArtefactError: there is no text.
    """
    family = context.family
    if source := _tokenizer(context.config.policy):
        tokenizer = Tokens.load(source, family).tokenizer
    elif read := list(texts):
        tokenizer = train_bpe(read, family.template, family.decoder.vocabulary)
    else:
        raise ArtefactError("nothing is left to train on; see rejects.jsonl of the stages before")
    return Tokens.load(keep_tokenizer(draft, tokenizer.save_pretrained), family)


def report_texts(studies: Iterable[Mapping[str, Any]], template: Template) -> Iterator[str]:
    """The reports of the training studies, and the prompts that ask for them."""
    for row in studies:
        if row["split"] == "train":
            yield row["findings"]
            yield prompt_text(template, 0, 0, row["indication"])


def new_model(context: Context, *, remat: str) -> LanguageModel:
    """A policy on the mesh: the config's checkpoint, or random parameters."""
    family, mesh = context.family, context.mesh
    if path := context.config.policy.checkpoint:
        model: LanguageModel = load_model(
            Path(path), family, mesh=mesh, remat=remat, **context.compute
        )
        return model
    graph, shapes = model_class(family).abstract(family, remat=remat, **context.compute)
    params = random_params(shapes, layers=family.decoder.layers, seed=context.config.seed)
    places = parameter_shardings(shapes, family.sharding, mesh)
    return nnx.merge(graph, jax.device_put(params, places))


def _tokenizer(policy: PolicyConfig) -> Path | None:
    folder = policy.tokenizer or policy.checkpoint
    return Path(folder) if folder else None
