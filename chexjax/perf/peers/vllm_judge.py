"""Judging by vLLM's CPU build, its prefix caching on.

Engine and worker run in this process, so that its memory is all of theirs. The cache of prefixes is
emptied before each step: what prompts share is read once in every one of them.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from chexjax.perf import judge_work
from chexjax.perf.judge_work import Size, Work, Write

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # as free as its peers are
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import vllm  # noqa: E402 (it reads these variables)

_BLOCK, _PIECE = 32, 8192
_GIB = 2**30


def make_writer(folder: Path, size: Size, work: Work) -> Write:
    """vLLM with all requests in one batch, and memory for as many."""
    # What blocks cannot share, because texts end within them, is at most two of them a request.
    tokens = work.distinct + work.written + 2 * _BLOCK * work.requests
    needed = 4 * 2 * size.layers * size.width * tokens / _GIB
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(math.ceil(needed))
    model = vllm.LLM(
        model=str(folder),
        skip_tokenizer_init=True,
        dtype="float32",
        max_model_len=work.prompt + work.new,
        max_num_seqs=work.requests,
        max_num_batched_tokens=max(_PIECE, work.prompt),
        block_size=_BLOCK,
        enable_prefix_caching=True,
    )
    params = vllm.SamplingParams(
        temperature=0.0, max_tokens=work.new, ignore_eos=True, detokenize=False
    )
    prompts = judge_work.prompts(work, size.vocabulary).whole()
    asked = [{"prompt_token_ids": ids.tolist()} for ids in prompts]

    def write() -> np.ndarray:
        if not model.reset_prefix_cache():
            raise RuntimeError("vLLM's prefix cache could not be emptied")
        answers = model.generate(asked, params, use_tqdm=False)
        return np.asarray([answer.outputs[0].token_ids for answer in answers], np.int32)

    return write
