"""The same pass by torch's DataLoader (extra `bench`), as trainers for images and text use it.

A record becomes normalised float32 and three lists of ids; a batch is stacked and padded. With
workers each one makes whole batches and hands them over in shared memory.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerFast

from chexjax.perf import data_work
from chexjax.perf.bench import Step
from chexjax.perf.data_work import Record

_TEXTS = ("prompt", "chosen", "rejected")


class Records(Dataset[dict[str, Any]]):
    """Encoded records that become tensors when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._files = list(data_work.records(folder))
        self._tokenizer = PreTrainedTokenizerFast.from_pretrained(
            data_work.tokenizer_folder(folder)
        )
        family = data_work.family()
        self._side = family.vision.size
        self._mean, self._std = (torch.tensor(x) for x in (family.image.mean, family.image.std))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self._files[index]
        ids = {
            name: torch.tensor(self._tokenizer(getattr(record, name))["input_ids"])
            for name in _TEXTS
        }
        return {"image": self._pixels(record), **ids}

    def _pixels(self, record: Record) -> torch.Tensor:
        with Image.open(io.BytesIO(record.image)) as image:
            colour = image.convert("RGB")
        side = (self._side, self._side)
        pixels = np.asarray(colour.resize(side, Image.Resampling.BICUBIC), np.float32)
        scaled = (torch.from_numpy(pixels) / 255 - self._mean) / self._std
        return scaled.permute(2, 0, 1)


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pixels stacked, `f32[B, C, S, S]`, ids padded, `i64[B, T]`."""
    pad = torch.nn.utils.rnn.pad_sequence
    texts = {name: pad([row[name] for row in rows], batch_first=True) for name in _TEXTS}
    return {"images": torch.stack([row["image"] for row in rows]), **texts}


def make_pass(folder: Path, *, workers: int, step_seconds: float) -> Step:
    """An epoch in a new order; workers stay from one to the next."""
    loader = DataLoader(
        Records(folder),
        batch_size=data_work.BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
    )

    def go(_: int) -> None:
        for batch in loader:
            assert batch["images"].dtype == torch.float32
            time.sleep(step_seconds)

    return go
