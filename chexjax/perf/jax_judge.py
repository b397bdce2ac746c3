"""Judging by chexjax's own engine, and the checkpoint that it and its peers read."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from chexjax.engine import Engine, EngineConfig, Request
from chexjax.families import TextFamily
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import LanguageModel, random_params
from chexjax.perf import judge_work
from chexjax.perf.bench import OURS, Step
from chexjax.perf.judge_work import Size, Work, Write
from chexjax.perf.judges import answers_file, keep
from chexjax.weights import load_model, save
from chexjax.weights.config import describe


def write_checkpoint(folder: Path, family: TextFamily) -> None:
    """A Hugging Face folder of a judge with random parameters, always the same ones."""
    _, shapes = LanguageModel.abstract(family)
    layers = family.decoder.layers
    params = random_params(shapes, layers=layers, seed=judge_work.SEED)
    config = describe(family, "float32") | {"eos_token_id": None, "bos_token_id": None}
    save(folder, params, family.names, config=config)


def jax_step(folder: Path, size: Size, work: Work) -> Step:
    """Our step; see `judges.keep`."""
    return keep(make_writer(folder, size, work), answers_file(folder, OURS))


def make_writer(folder: Path, size: Size, work: Work) -> Write:
    """The engine with prefix reuse and without drafts; the preamble is read in each step anew."""
    family = judge_work.family(size, work)
    mesh = make_mesh(MeshConfig())
    with jax.set_mesh(mesh):
        model = load_model(folder, family, mesh=mesh)
        engine = Engine(model, EngineConfig(slots=work.requests))
    asked = judge_work.prompts(work, size.vocabulary)
    preamble = asked.preamble.tolist()
    requests = [
        Request(prefix=preamble + shared.tolist(), rows=own.tolist(), limit=work.new)
        for shared, own in zip(asked.shared, asked.own, strict=True)
    ]

    def write() -> np.ndarray:
        with jax.set_mesh(mesh):
            engine.begin(preamble)
            groups = dict(engine.run(requests))
        rows = [row.tokens for number in sorted(groups) for row in groups[number]]
        return np.asarray(rows, np.int32)

    return write
