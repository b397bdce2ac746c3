"""Candidate reports by transformers' `generate`, on its LLaVA (extra `bench`).

All studies are one batch. As shipped, `generate` repeats each prompt and its image for every
candidate (`num_return_sequences`), and its cache grows. `shared` is what a careful user does: a
prompt is read once, its cache repeated by hand, and from there all reports are written in one
batch, the cache static and the forward compiled, which was the quickest for judging.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CompileConfig, DynamicCache, StaticCache

from chexjax.perf import sample_work
from chexjax.perf.peers.llava import IMAGE, make_model, pixels
from chexjax.perf.sample_work import Work

_UNUSED = "post_layernorm"  # of the tower, which is read before it


def make_writer(folder: Path, work: Work, *, shared: bool) -> Callable[[int], np.ndarray]:
    """Draws all reports from bits that a step's number decides, `i32[studies, candidates, new]`.

    Args:
      folder: Of the parameters.
      work: What is asked.
      shared: Read a prompt once for all of its candidates.
    """
    model = _load(folder, work)
    asked = sample_work.prompts(work)
    visual = np.full((work.studies, work.visual), IMAGE)
    ids = torch.tensor(np.concatenate([visual, asked.text], axis=1)).long()
    images = pixels(asked.pixels)
    write = _shared(model, work, ids, images) if shared else _shipped(model, work, ids, images)

    @torch.inference_mode()
    def step(number: int) -> np.ndarray:
        torch.manual_seed(number)
        new = write()[:, work.prompt :].numpy().astype(np.int32)
        return new.reshape(work.studies, work.candidates, work.new)

    return step


def _load(folder: Path, work: Work) -> Any:
    """The policy with the parameters of a checkpoint."""
    model = make_model(work.policy)
    missing, unknown = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    if unknown or any(_UNUSED not in key for key in missing):
        raise ValueError(f"{folder} is not of this policy: {unknown} unknown, {missing} missing")
    return model.eval()


def _shipped(model: Any, work: Work, ids: Tensor, images: Tensor) -> Callable[[], Tensor]:
    """`generate` by itself, from images and prompts to reports."""
    options = _options(work) | {"num_return_sequences": work.candidates}
    seen = torch.ones_like(ids)
    return lambda: model.generate(ids, pixel_values=images, attention_mask=seen, **options)


def _shared(model: Any, work: Work, ids: Tensor, images: Tensor) -> Callable[[], Tensor]:
    """`generate` behind a cache of all but the last token of each prompt."""
    compiling: Any = CompileConfig(mode="default", fullgraph=True)
    compiling._compile_all_devices = True  # without it nothing is compiled on a CPU
    options = _options(work) | {"compile_config": compiling}
    decoder = model.config.get_text_config()
    cache = StaticCache(config=decoder, max_cache_len=work.prompt + work.new)
    rows = ids.repeat_interleave(work.candidates, 0)
    seen = torch.ones_like(rows)

    def write() -> Tensor:
        read: Any = DynamicCache(config=decoder)
        model.model(ids[:, :-1], pixel_values=images, past_key_values=read)
        cache.reset()
        for number, layer in enumerate(read.layers):
            keys, values = (
                x.repeat_interleave(work.candidates, 0) for x in (layer.keys, layer.values)
            )
            cache.update(keys, values, number)
        written: Tensor = model.generate(
            rows, past_key_values=cache, attention_mask=seen, **options
        )
        return written

    return write


def _options(work: Work) -> dict[str, Any]:
    """How tokens are drawn: from all of them, as many as asked for, and none ends a row."""
    return {
        "do_sample": True,
        "temperature": work.temperature or 1.0,
        "top_k": 0 if work.temperature else 1,  # `generate` repeats no prompt unless it draws
        "max_new_tokens": work.new,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
