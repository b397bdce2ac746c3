"""The policy artefact: parameters, tokenizer, and which preset they belong to."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from chexjax.artefacts import Artefact, Draft, write_atomic
from chexjax.checkpoint import load_params, save_params
from chexjax.data.tokens import Tokens
from chexjax.distributed import is_first, meet
from chexjax.families import PolicyFamily
from chexjax.mesh import parameter_shardings
from chexjax.models import LanguageModel, model_class
from chexjax.stages.context import Context
from chexjax.weights import save
from chexjax.weights.config import describe

KEPT = "kept"
"""Folder in a policy's artefact of the steps that stay, see `TrainConfig.keep_every`."""


def load_policy(context: Context, artefact: Artefact, *, remat: str = "none") -> LanguageModel:
    """The model of a policy artefact, on the mesh."""
    return place_policy(artefact, context.family, context.mesh, remat=remat, **context.compute)


def place_policy(
    artefact: Artefact, family: PolicyFamily, mesh: Mesh, **options: Any
) -> LanguageModel:
    """The model of a policy artefact of `family`, on any mesh, with options of its class."""
    graph, shapes = model_class(family).abstract(family, **options)
    places = parameter_shardings(shapes, family.sharding, mesh)
    like = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        places,
    )
    pure = load_params(artefact.path / "params", nnx.to_pure_dict(like))
    nnx.replace_by_pure_dict(shapes, pure)
    return nnx.merge(graph, shapes)


def load_tokens(family: PolicyFamily, artefact: Artefact) -> Tokens:
    """The tokenizer of a policy artefact."""
    return Tokens.load(artefact.path / "tokenizer", family)


def save_policy(
    draft: Draft,
    family: PolicyFamily,
    params: nnx.State,
    statistics: Mapping[str, Any],
    rejects: int,
) -> Artefact:
    """Finishes a policy artefact whose tokenizer is in place."""
    save_params(draft.path / "params", nnx.to_pure_dict(params))
    if draft.share.first:
        write_atomic(draft.path / "policy.json", json.dumps({"preset": family.name}) + "\n")
    return draft.finish(statistics=statistics, rejects=rejects)


def write_checkpoint(
    folder: Path, family: PolicyFamily, params: nnx.State, tokenizer: Path, *, dtype: str
) -> None:
    """Writes a policy in Hugging Face's layout: shards and their index, config, tokenizer."""
    if is_first():
        shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
    save(
        folder,
        params,
        family.names,
        config=describe(family, dtype),
        heads=family.decoder.block.heads,
        dtype=jnp.dtype(dtype),
    )


def write_kept(draft: Draft, step: int, family: PolicyFamily, params: nnx.State) -> None:
    """Gives a draft the policy of a step on the way, as a checkpoint that any command starts from.

    What an earlier attempt has left of it is replaced.
    """
    folder = draft.path / KEPT / str(step)
    if is_first():
        shutil.rmtree(folder, ignore_errors=True)
    write_checkpoint(folder, family, params, draft.path / "tokenizer", dtype="float32")


def keep_tokenizer(draft: Draft, write: Callable[[Path], Any]) -> Path:
    """The folder of a draft's tokenizer, which one process has written when all come back."""
    folder = draft.path / "tokenizer"
    if draft.share.first:
        draft.drop_leftovers()
        write(folder)
    if draft.share.of > 1:
        meet(f"{folder} is written")
    return folder


def copy_tokenizer(draft: Draft, policy: Artefact) -> None:
    """Gives a draft the tokenizer of the policy that it starts from."""
    source = policy.path / "tokenizer"
    keep_tokenizer(draft, functools.partial(shutil.copytree, source, dirs_exist_ok=True))
