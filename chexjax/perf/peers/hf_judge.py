"""Judging by transformers' `generate`, at its best settings on a CPU (extra `bench`).

What prompts share it reads once: a cache is repeated by hand behind the preamble, and behind the
references. From there `generate` writes all requests in one batch, its cache static and its forward
compiled. Measured here on two sizes, that is quicker than a cache that grows, than smaller batches,
and than no compiling.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CompileConfig, DynamicCache, LlamaForCausalLM, StaticCache

from chexjax.perf import judge_work
from chexjax.perf.judge_work import Prompts, Size, Work, Write


def make_writer(folder: Path, size: Size, work: Work) -> Write:
    """`generate` behind a cache of what prompts share."""
    torch.set_num_threads(work.threads)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    asked = judge_work.prompts(work, size.vocabulary)
    ids = torch.tensor(asked.whole()).long()
    cache = StaticCache(config=model.config, max_cache_len=work.prompt + work.new)

    @torch.inference_mode()
    def write() -> np.ndarray:
        cache.reset()
        for number, layer in enumerate(_read_shared(model, asked).layers):
            keys, values = (
                x.repeat_interleave(work.candidates, 0) for x in (layer.keys, layer.values)
            )
            cache.update(keys, values, number)
        return _generate(model, ids, cache, work.new).numpy().astype(np.int32)

    return write


def _read_shared(model: Any, asked: Prompts) -> Any:
    """Keys and values of the preamble and behind it of each reference, a row for every one."""
    cache = DynamicCache(config=model.config)
    model.model(torch.tensor(asked.preamble[None]).long(), past_key_values=cache)
    cache.batch_repeat_interleave(len(asked.shared))
    model.model(torch.tensor(asked.shared).long(), past_key_values=cache)
    return cache


def _generate(model: Any, ids: Tensor, cache: StaticCache, new: int) -> Tensor:
    """The likeliest tokens, `i64[rows, new]`, of which none ends a row."""
    compiling: Any = CompileConfig(mode="default", fullgraph=True)
    compiling._compile_all_devices = True  # without it nothing is compiled on a CPU
    written: Tensor = model.generate(
        ids,
        past_key_values=cache,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=new,
        eos_token_id=None,
        pad_token_id=0,
        compile_config=compiling,
    )
    return written[:, ids.shape[1] :]
