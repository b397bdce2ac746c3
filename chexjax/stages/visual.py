"""`visual`: visual tokens of all pairs, encoded once for every epoch and every loss.

They are what the step would make of the same pixels with the same frozen parameters, so the cache
only saves work: it is part of no other artefact's identity, and can be deleted when alignment is
done.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.config import ConfigError
from chexjax.data.images import pixel_stacks
from chexjax.data.visual import VisualTokens, VisualWriter
from chexjax.families import Family
from chexjax.mesh import place_batch
from chexjax.perf import flops
from chexjax.rows import Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.policies import load_policy
from chexjax.stages.sft import SFT
from chexjax.trackers import StageTimer

_TOKENS = "tokens"


def seeing(context: Context) -> Family:
    """The policy's family, if it sees images.

    Raises:
      ConfigError: it does not.
    """
    family = context.family
    if not isinstance(family, Family):
        raise ConfigError(
            f"config.visual.cache=True, but {family.name} is shown no images: set it to False"
        )
    return family


def check_frozen(config: RunConfig, trained: Iterable[str]) -> None:
    """Finds parameters that alignment trains and whose output would be cached.

    Args:
      config: The run's.
      trained: Names of all parameters that alignment trains, adapters included.

    Raises:
      ConfigError: there is one in the tower or the connector.
    """
    moving = [name for name in trained if name.startswith(("vision/", "connector/"))]
    if moving:
        align = config.align
        raise ConfigError(
            "config.visual.cache=True keeps the visual tokens of the policy as it is before "
            f"alignment, but alignment trains {len(moving)} parameters that make them, the first "
            f"of which is {moving[0]}: freeze them, config.align.freeze=('vision/', 'connector/') "
            f"(now {align.freeze}), aim no adapter at them (config.align.lora.targets="
            f"{align.lora.targets}), or set config.visual.cache=False"
        )


def token_bytes(context: Context, images: Iterable[int]) -> int:
    """Bytes on disk of the visual tokens of studies with so many images each."""
    family = context.family
    tokens = sum(family.visual_tokens(count) for count in images)
    return int(tokens * family.decoder.block.width * context.dtype.itemsize)


def cached_tokens(context: Context) -> VisualTokens | None:
    """The cache of this run, None where its config wants none.

    Raises:
      ArtefactError: it is missing, damaged, of another config, or in another dtype.
    """
    if not VISUAL.needed(context.config):
        return None
    artefact = context.artefact(VISUAL)
    tokens = VisualTokens(artefact.path / _TOKENS, [row["id"] for row in artefact.rows()])
    if tokens.dtype != context.dtype:
        raise ArtefactError(
            f"{artefact.path} holds visual tokens in {tokens.dtype}, but this run computes in "
            f"{context.dtype}: set config.policy.compute_dtype={tokens.dtype}, or delete the "
            "folder and run the stage `visual` again"
        )
    return tokens


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    size, family = context.config.visual.unit, seeing(context)
    studies, pairs = context.artefact(INGEST).rows(), list(context.artefact(PAIR).rows())
    shown = [min(len(studies[pair["row"]]["images"]), family.max_images) for pair in pairs]
    slots, units = max(1, *shown), -(-len(pairs) // size)
    _announce(context, draft, shown)
    shape = (size, family.visual_tokens(slots), family.decoder.block.width)
    run = family.visual_tokens(1)
    writer = VisualWriter(draft.path / _TOKENS, units, shape, run=run, dtype=context.dtype)
    encode = _encoder(context)

    def unit(number: int) -> Unit:
        mine = slice(number * size, (number + 1) * size)
        files = [studies[pair["row"]]["images"] for pair in pairs[mine]]
        files += [()] * (size - len(files))  # all units are one program
        tokens = encode(pixel_stacks(files, slots, family.vision, family.image))
        for row, each in enumerate(files):
            tokens[row, family.visual_tokens(min(len(each), slots)) :] = 0  # not to be stored
        writer.write(number, tokens)
        return Unit([{"id": pair["id"], "row": pair["row"]} for pair in pairs[mine]])

    executed = flops.Work(images=size * slots, prefixes=size, prefix=0, responses=0, response=0)
    statistics = {
        "flops": units * flops.images(family, executed),
        "token_bytes": token_bytes(context, shown),
        "dtype": str(context.dtype),
    }
    return map_units(draft, units, unit, describe="visual", summarise=lambda _: statistics)


def _announce(context: Context, draft: Draft, shown: Sequence[int]) -> None:
    """Says how much is going to be written.

    Raises:
      ArtefactError: the disk has no room for it.
    """
    total = token_bytes(context, shown)
    there = sum(file.stat().st_size for file in (draft.path / _TOKENS).rglob("*") if file.is_file())
    left, free = max(total - there, 0), shutil.disk_usage(draft.path).free
    print(
        f"visual: {len(shown):,} studies with {sum(shown):,} images make {total:,} bytes "
        f"({total / 2**30:,.3f} GiB) in {context.dtype}, of which {left:,} are to be written to "
        f"{draft.path}, where {free:,} are free",
        flush=True,
    )
    if left > free:
        raise ArtefactError(
            f"{left:,} bytes of visual tokens do not fit on the disk of {draft.path}, which has "
            f"{free:,} free: give a --workdir on a larger disk, or set config.visual.cache=False"
        )


def _encoder(context: Context) -> Callable[[np.ndarray], np.ndarray]:
    """Tower and connector of the policy: `u8[B, I, S, S, C] -> [B, K, D]`."""
    policy: Any = load_policy(context, context.artefact(SFT))
    graph, params = nnx.split(policy)

    @jax.jit
    def run(params: nnx.State, images: jax.Array) -> jax.Array:
        return nnx.merge(graph, params).encode_images(images)

    def encode(images: np.ndarray) -> np.ndarray:
        tokens: Any = jax.device_get(run(params, place_batch(images, context.mesh)))
        return np.array(tokens)  # a copy that can be written to

    return encode


VISUAL = Stage(
    name="visual",
    folder="visual",
    kind="visual",
    fields=("policy", "visual"),
    reads=(INGEST, SFT, PAIR),
    work=_work,
    needed=lambda config: config.visual.cache,
)
