"""Candidate reports by chexjax's own engine, and the checkpoint that it and its peers read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from chexjax import malloc
from chexjax.engine import Engine, EngineConfig, Images, Request, Sampler
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import VLM, random_params
from chexjax.perf import sample_work
from chexjax.perf import work as work_of
from chexjax.perf.bench import Step
from chexjax.perf.sample_work import Work
from chexjax.weights import load_model, save


def write_checkpoint(folder: Path, work: Work) -> None:
    """A policy with random parameters, always the same ones, by their names in transformers."""
    family = work_of.family(work.policy)
    _, shapes = VLM.abstract(family)
    params = random_params(shapes, layers=family.decoder.layers, seed=sample_work.SEED)
    save(folder, params, family.names, config={})


def jax_step(folder: Path, work: Work, config: EngineConfig) -> Step:
    """Our step: `Engine` as `config` has it, every image and prompt read anew in each step."""
    malloc.keep_freed()  # as our commands do
    return make_writer(folder, work, config)


def hf_step(folder: Path, work: Work, *, shared: bool) -> Step:
    """Transformers' `generate` (extra `bench`); see `hf_sample.make_writer`."""
    from chexjax.perf.peers.hf_sample import make_writer

    return make_writer(folder, work, shared=shared)


def make_writer(folder: Path, work: Work, config: EngineConfig) -> Callable[[int], np.ndarray]:
    """Draws all reports from bits that a step's number decides, `i32[studies, candidates, new]`."""
    mesh = make_mesh(MeshConfig())
    with jax.set_mesh(mesh):
        engine = Engine(load_model(folder, work_of.family(work.policy), mesh=mesh), config)
    asked = sample_work.prompts(work)
    placeholder = np.arange(work.prompt - 1) < work.visual  # the last token is read with the rows

    def request(study: int, seeds: np.ndarray) -> Request:
        return Request(
            prefix=[0] * work.visual + asked.text[study].tolist(),
            rows=[()] * work.candidates,
            limit=work.new,
            sampler=Sampler(temperature=work.temperature),
            seeds=seeds.tolist(),
            images=Images(pixels=asked.pixels[study][None], placeholder=placeholder),
        )

    def write(number: int) -> np.ndarray:
        rng = np.random.default_rng((sample_work.SEED, number))
        seeds = rng.integers(2**63, size=(work.studies, work.candidates))
        requests = [request(*one) for one in enumerate(seeds)]
        with jax.set_mesh(mesh):
            written = dict(engine.run(requests))
        rows = [[row.tokens for row in written[study]] for study in range(work.studies)]
        return np.asarray(rows, np.int32)

    return write
