"""The policy artefact: parameters, tokenizer, and which preset they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from chexjax.artefacts import Artefact, Draft, write_atomic
from chexjax.checkpoint import load_params, save_params
from chexjax.data.tokens import Tokens
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
    write_atomic(draft.path / "policy.json", json.dumps({"preset": family.name}) + "\n")
    return draft.finish(statistics=statistics, rejects=rejects)
