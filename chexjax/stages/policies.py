"""The policy artefact: parameters, tokenizer, and which preset they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from chexjax.artefacts import Artefact, ArtefactError, Draft, write_atomic
from chexjax.checkpoint import load_params, save_params
from chexjax.data.bpe import train_bpe
from chexjax.data.tokens import Tokens, prompt_text
from chexjax.families import Family
from chexjax.mesh import parameter_shardings
from chexjax.models import VLM, random_params
from chexjax.stages.context import Context


def new_tokens(context: Context, folder: Path, studies: Sequence[Mapping[str, Any]]) -> Tokens:
    """Trains a tokenizer on the training studies' prompts and reports, into `folder`."""
    family = context.family
    texts = []
    for row in studies:
        if row["split"] == "train":
            texts += [row["findings"], prompt_text(family.template, 0, 0, row["indication"])]
    if not texts:
        raise ArtefactError("no training study is left after ingest; see studies/rejects.jsonl")
    train_bpe(texts, family.template, family.decoder.vocabulary).save_pretrained(folder)
    return Tokens.load(folder, family)


def new_model(context: Context, *, remat: str) -> VLM:
    """A policy with random parameters, on the mesh."""
    family = context.family
    graph, shapes = VLM.abstract(family, dtype=context.dtype, remat=remat)
    params = random_params(shapes, layers=family.decoder.layers, seed=context.config.seed)
    places = parameter_shardings(shapes, family.sharding, context.mesh)
    return nnx.merge(graph, jax.device_put(params, places))


def load_policy(context: Context, artefact: Artefact, *, remat: str = "none") -> VLM:
    """The model of a policy artefact, on the mesh."""
    return place_policy(artefact, context.family, context.mesh, dtype=context.dtype, remat=remat)


def place_policy(
    artefact: Artefact, family: Family, mesh: Mesh, *, dtype: Any = jnp.float32, remat: str = "none"
) -> VLM:
    """The model of a policy artefact of `family`, on any mesh."""
    graph, shapes = VLM.abstract(family, dtype=dtype, remat=remat)
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
