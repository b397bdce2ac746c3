"""The policy artefact: parameters, tokenizer, and which preset they belong to."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from chexjax.artefacts import Artefact, Draft, write_atomic
from chexjax.checkpoint import load_params, save_params
from chexjax.data.tokens import Tokens
from chexjax.distributed import meet
from chexjax.families import Family
from chexjax.mesh import parameter_shardings
from chexjax.models import VLM
from chexjax.stages.context import Context


def load_policy(context: Context, artefact: Artefact, *, remat: str = "none") -> VLM:
    """The model of a policy artefact, on the mesh."""
    return place_policy(artefact, context.family, context.mesh, remat=remat, **context.compute)


def place_policy(artefact: Artefact, family: Family, mesh: Mesh, **options: Any) -> VLM:
    """The model of a policy artefact of `family`, on any mesh, with options of `VLM`."""
    graph, shapes = VLM.abstract(family, **options)
    places = parameter_shardings(shapes, family.sharding, mesh)
    like = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        places,
    )
    pure = load_params(artefact.path / "params", nnx.to_pure_dict(like))
    nnx.replace_by_pure_dict(shapes, pure)
    return nnx.merge(graph, shapes)


def load_tokens(family: Family, artefact: Artefact) -> Tokens:
    """The tokenizer of a policy artefact."""
    return Tokens.load(artefact.path / "tokenizer", family)


def save_policy(
    draft: Draft,
    family: Family,
    params: nnx.State,
    statistics: Mapping[str, Any],
    rejects: int,
) -> Artefact:
    """Finishes a policy artefact whose tokenizer is in place."""
    save_params(draft.path / "params", nnx.to_pure_dict(params))
    if draft.share.first:
        write_atomic(draft.path / "policy.json", json.dumps({"preset": family.name}) + "\n")
    return draft.finish(statistics=statistics, rejects=rejects)


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
