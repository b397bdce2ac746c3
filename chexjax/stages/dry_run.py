"""`--dry_run`: shapes, parameters, placement, steps and memory of a config, with no work done."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from rich.console import Console
from rich.table import Table

from chexjax import judges
from chexjax.config import ConfigError
from chexjax.data.candidates import count_candidates
from chexjax.data.given import count_rows
from chexjax.data.preferences import holds_single
from chexjax.data.sources.registry import open_source
from chexjax.evaluate.measures import check_measures
from chexjax.families import Family, PolicyFamily, TextFamily, preset
from chexjax.mesh import check_batch, parameter_names, parameter_shardings, path_name
from chexjax.models import LanguageModel, add_lora, model_class
from chexjax.perf.inventory import kept_whole
from chexjax.stages.chexbench_answers import writes_answers
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.fitting import length_in_steps
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import labeler_name
from chexjax.stages.mixture import MIXTURE, check_mixture, most_triplets
from chexjax.stages.questions import QUESTIONS, check_questions, is_asked
from chexjax.stages.start import check_start, is_trained
from chexjax.stages.systems import check_files
from chexjax.stages.visual import VISUAL, check_frozen, seeing, token_bytes
from chexjax.train import TrainConfig
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import init_state, split_params, state_shardings

_GIB = 2**30


def check(context: Context) -> None:
    """Finds what is wrong with a config before any work is done.

    Raises:
      ConfigError: a name, a size or a regex that later stages would stumble over.
    """
    config = context.config
    with _as_config_error():
        if not context.is_finished(INGEST):
            open_source(config.source)
        if not context.is_finished(MIXTURE):
            check_mixture(config)
        _ = context.pair_family  # a template that its family does not have
        check_start(context)
        _ = context.attention  # a kernel that the devices do not have
        named = (config.judge.name, config.evaluate.judge, *config.evaluate.metrics)
        for judge in filter(None, named):
            judges.build(judge, config.judge)
        if labeler := labeler_name(config):
            judges.build_labeler(labeler, config.judge)
        _check_pairs(config)
        _check_candidates(config)
        check_files(config)
        preset(config.train_judge.preset, TextFamily)
        length_in_steps(config.train_judge.train, "train_judge.train", rows=1)
        _check_analysis(config)
        if is_asked(config):
            _check_questions(context)
        for name in ("sample", "evaluate"):
            _check_room(context.family, name, getattr(config, name).max_new_tokens)
        own = context.within(INGEST).mesh  # bulk work is each process's own
        for name in ("sample", "reference", "evaluate"):
            check_batch(getattr(config, name).unit, own, f"{name}.unit")
        for name, train in (("sft", config.sft), ("align", config.align)):
            _, trainable, _ = split_params(_model(context, name, train), train.freeze)
            if name == "align" and VISUAL.needed(config):
                seeing(context)
                check_batch(config.visual.unit, own, "visual.unit")
                check_frozen(config, parameter_names(trainable))
            size, field = train.batch_size // train.accumulate, f"{name}.batch_size / accumulate"
            check_batch(size, context.mesh, field)
            length_in_steps(train, name, rows=1)


def _check_pairs(config: RunConfig) -> None:
    loss, file = config.loss.build(), config.pair.source
    try:
        single = bool(file) and holds_single(Path(file))
    except ValueError as error:
        raise ConfigError(f"config.pair.source: {error}") from error
    if single and not loss.unpaired:
        raise ConfigError(
            f"config.pair.source: {file} holds single reports, but {config.loss.name} learns from "
            "pairs; set config.loss.name to 'kto', or give pairs"
        )


def _check_candidates(config: RunConfig) -> None:
    file, wanted = config.sample.source, config.sample.candidates
    if not file:
        return
    if config.pair.source:
        raise ConfigError(
            f"config.sample.source: {file} would not be read, since pairs come from "
            f"config.pair.source={config.pair.source}; leave one of them out"
        )
    try:
        there = count_candidates(Path(file))
    except ValueError as error:
        raise ConfigError(f"config.sample.source: {error}") from error
    if there != wanted:
        raise ConfigError(
            f"config.sample.candidates={wanted}, but {file} has {there} a study; set it to {there}"
        )


def _check_analysis(config: RunConfig) -> None:
    columns = ("score", "lc_score", *config.evaluate.metrics)
    labelled, analysis = bool(labeler_name(config)), config.evaluate.analysis
    for field, asked in (("gain", analysis.gain), ("measures", analysis.measures)):
        try:
            check_measures(asked, columns, labelled=labelled)
        except ValueError as error:
            raise ConfigError(f"config.evaluate.analysis.{field}: {error}") from error


def _check_questions(context: Context) -> None:
    config = context.config.chexbench
    if not context.is_finished(QUESTIONS):
        check_questions(context)
    for judge in config.judges:
        judges.build(judge, context.config.judge)
    if writes_answers(context.config):
        _check_room(context.family, "chexbench", config.max_new_tokens)
    check_batch(config.unit, context.within(QUESTIONS).mesh, "chexbench.unit")


def _check_room(family: PolicyFamily, name: str, report: int) -> None:
    context, image = family.decoder.context, family.visual_tokens(1)
    if report + image >= context:
        raise ValueError(
            f"{name}.max_new_tokens={report} and the {image} tokens of an image exceed the context "
            f"of {context} positions of {family.name}"
        )


def check_selection(config: RunConfig) -> None:
    """Finds a judge that could not compare a sweep's runs before they are trained.

    Raises:
      ConfigError: there is no such judge, or GREEN cannot be asked.
    """
    with _as_config_error():
        judges.build(config.sweep.select_by or config.judge.name, config.judge)


@functools.cache  # a sweep asks for it in each of its runs
def _abstract(family: PolicyFamily, dtype: Any) -> tuple[nnx.GraphDef, nnx.State]:
    made: tuple[nnx.GraphDef, nnx.State] = model_class(family).abstract(family, dtype=dtype)
    return made


def _model(context: Context, name: str, config: TrainConfig) -> LanguageModel:
    """The abstract policy that a stage trains, adapters included."""
    model: LanguageModel = nnx.merge(*_abstract(context.family, context.dtype))
    if config.lora.rank:
        try:
            add_lora(model, config.lora, seed=context.config.seed)
        except ValueError as error:
            raise ConfigError(f"config.{name}.lora.{error}") from error
    return model


@contextlib.contextmanager
def _as_config_error() -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"config: {error}") from error


def dry_run(context: Context, console: Console) -> None:
    """Prints what a run with this config would be, from abstract shapes alone."""
    family = context.family
    model = nnx.merge(*_abstract(family, context.dtype))
    console.print(_parameters(context, model))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model)))
    mesh = " x ".join(f"{axis}={size}" for axis, size in context.mesh.shape.items())
    console.print(f"{family.name}: {count:,} parameters; mesh {mesh}; compute {context.dtype}")
    say_whole(context, console)
    console.print(
        f"{_pictures(family)}; context {family.decoder.context}; "
        f"vocabulary {family.decoder.vocabulary}"
    )
    console.print(f"starts from {_start(context.config)}")
    console.print(_training(context))
    if VISUAL.needed(context.config):
        console.print(_cache(context))


def _pictures(family: PolicyFamily) -> str:
    if not isinstance(family, Family):
        return "text alone"
    side = family.vision.size
    return (
        f"images {side} x {side} x {family.vision.channels}, {family.visual_tokens(1)} tokens for "
        f"one, at most {family.max_images}"
    )


def say_whole(context: Context, console: Console) -> None:
    """Prints what of the policy the mesh does not divide, so that each device holds all of it."""
    for name, sizes in kept_whole(context.family, context.mesh).items():
        console.print(f"stays whole on each device: {name}, {sizes}", highlight=False)


def _start(config: RunConfig) -> str:
    if config.policy.checkpoint:
        return config.policy.checkpoint
    wanted = "" if is_trained(config) else ", so a run wants a config.policy.checkpoint"
    return f"random parameters{wanted}"


def _parameters(context: Context, model: LanguageModel) -> Table:
    table = Table("parameter", "shape", "placement", title="Parameters")
    state = nnx.state(model)
    placed = jax.tree.leaves(parameter_shardings(state, context.family.sharding, context.mesh))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    for (path, leaf), sharding in zip(leaves, placed, strict=True):
        table.add_row(path_name(path), str(leaf.shape), str(tuple(sharding.spec)))
    return table


def _training(context: Context) -> Table:
    config = context.config
    table = Table(title="Training")
    for heading in ("stage", "batch", "rows at most", "steps", "trained", "state per device"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    table.add_row(*_row(context, "sft", config.sft, _lessons(context)))
    table.add_row(*_row(context, "align", config.align, _most_pairs(context)))
    return table


def _lessons(context: Context) -> int:
    """What fine-tuning learns from, at most: reports, or the triplets of a mixture."""
    if not MIXTURE.needed(context.config):
        return _studies(context)
    if context.is_finished(MIXTURE):
        return context.artefact(MIXTURE).manifest.rows
    return most_triplets(context.config, _studies(context))


def _studies(context: Context) -> int:
    """Studies at most: those of the source, or what was left of them."""
    if context.is_finished(INGEST):
        return context.artefact(INGEST).manifest.rows
    return len(open_source(context.config.source))


def _most_pairs(context: Context) -> int:
    config = context.config
    if config.pair.source:
        return count_rows(Path(config.pair.source))
    if config.sample.source:
        return count_rows(Path(config.sample.source))
    return config.sample.studies or _studies(context)


def _cache(context: Context) -> str:
    """What the cached visual tokens take on disk if every study makes a pair."""
    pairs, images = _most_pairs(context), context.family.max_images
    size = token_bytes(context, [images] * pairs)
    return (
        f"visual tokens on disk: at most {size:,} bytes ({size / _GIB:,.3f} GiB), "
        f"{pairs:,} studies of {images} images in {context.dtype}"
    )


def _row(context: Context, name: str, config: TrainConfig, rows: int) -> tuple[str, ...]:
    total = length_in_steps(config, name, rows)
    table = context.family.sharding
    if not total:  # no moments either
        params = nnx.state(_model(context, name, config))
        size = _bytes_per_device(params, parameter_shardings(params, table, context.mesh))
        return name, "", "", "0", "0", f"{size / _GIB:.3f} GiB"
    _, trainable, frozen = split_params(_model(context, name, config), config.freeze)
    optimizer = make_optimizer(config.optimizer)
    beside = name == "align" and context.config.reference.in_step() is not None
    first = functools.partial(init_state, optimizer=optimizer, reference=beside)
    state = jax.eval_shape(first, trainable, frozen)
    size = _bytes_per_device(state, state_shardings(state, table, context.mesh))
    trained = sum(leaf.size for leaf in jax.tree.leaves(trainable))
    batch = f"{config.batch_size} in {config.accumulate}"
    return name, batch, f"{rows:,}", f"{total:,}", f"{trained:,}", f"{size / _GIB:.3f} GiB"


def _bytes_per_device(state: Any, shardings: Any) -> int:
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True)
    return sum(math.prod(s.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf, s in pairs)
