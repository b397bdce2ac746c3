"""Reference log-probabilities: one forward pass of the starting policy over all pairs."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from chexjax.models import LanguageModel
from chexjax.train.objectives import Batch, response_logprobs


def make_scorer(model: LanguageModel) -> Any:
    """Jitted `batch -> f32[B, N, R]`: log-probabilities per response token."""
    graph, params = nnx.split(model)
    score = scoring(graph)
    return lambda batch: score(params, batch)


def scoring(graph: nnx.GraphDef[LanguageModel]) -> Any:
    """The same of a model's parameters and a batch, for parameters that may be shapes alone."""

    @jax.jit
    def score(params: nnx.State, batch: Batch) -> jax.Array:
        return response_logprobs(nnx.merge(graph, params), batch)

    return score
