"""The work that input pipelines are measured by: records on disk become batches of arrays.

A record is a grey JPEG of 512 pixels a side, as public collections store X-rays, and three texts:
a prompt and two reports. Pictures are smooth shapes under a little grain, so that a file is as
large as an X-ray's of that side. A pipeline decodes the picture, resizes it to 384 pixels a side in
three channels, tokenises the texts and puts 8 records into a batch.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from chexjax.artefacts import Draft, begin
from chexjax.data.bpe import train_bpe
from chexjax.data.study import Study
from chexjax.families import Family
from chexjax.families.chexagent2 import TINY_TEMPLATE
from chexjax.perf import work as align_work
from chexjax.rows import Rows, Unit, map_units

SIZES = {"S": 250, "M": 1000, "L": 2000}
"""Records."""

SEED, BATCH, SIDE, QUALITY = 20240917, 8, 512, 90
"""Of everything drawn; records of a batch; pixels and JPEG quality of a picture."""

_WORDS, _PROMPT, _CHOSEN, _REJECTED = 8000, 32, (60, 130), (90, 165)  # lengths in words
_UNIT, _TOKENIZER, _STUDIES = 50, "tokenizer", "studies"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What one batch row is made of."""

    image: bytes
    prompt: str
    chosen: str
    rejected: str


def family() -> Family:
    """The policy that the batches are for: one image of 384 pixels a side."""
    return dataclasses.replace(
        align_work.family(align_work.SIZES["L"]), name="bench data", template=TINY_TEMPLATE
    )


def write(folder: Path, records: int) -> None:
    """Writes tokenizer and studies, as their stages do; the second report stands in `truth`."""
    made = family()
    lexicon = _lexicon()
    texts = (" ".join(lexicon[k : k + 100]) for k in range(0, _WORDS, 100))
    train_bpe(texts, made.template, _WORDS).save_pretrained(folder / _TOKENIZER)
    content = {"records": records}
    draft = begin(folder / _STUDIES, "studies", content=content, config={}, inputs={})
    assert isinstance(draft, Draft)  # the folder is new

    def unit(number: int) -> Unit:
        first = number * _UNIT
        return Unit([_study(k, lexicon).to_row() for k in range(first, first + _UNIT)])

    map_units(draft, records // _UNIT, unit, describe="records", progress=False)


def tokenizer_folder(folder: Path) -> Path:
    """Where the tokenizer lies."""
    return folder / _TOKENIZER


def studies(folder: Path) -> Rows:
    """The rows that were written."""
    return Rows(sorted((folder / _STUDIES).glob("*.arrayrecord")))


def records(folder: Path) -> Iterator[Record]:
    """What a peer is given, in its own form."""
    for row in studies(folder):
        study = Study.from_row(row)
        yield Record(
            image=study.images[0],
            prompt=study.indication,
            chosen=study.findings,
            rejected=study.truth["rejected"],
        )


def _study(number: int, lexicon: list[str]) -> Study:
    rng = np.random.default_rng((SEED, number))

    def text(low: int, high: int) -> str:
        return " ".join(rng.choice(lexicon, rng.integers(low, high + 1)))

    return Study(
        id=f"record-{number}",
        split="train",
        images=(_picture(rng),),
        views=("frontal",),
        indication=text(_PROMPT, _PROMPT),
        findings=text(*_CHOSEN),
        truth={"rejected": text(*_REJECTED)},
    )


def _picture(rng: np.random.Generator) -> bytes:
    """Shapes of some 20 pixels and larger, and grain."""
    shapes = Image.fromarray(rng.normal(128, 45, (24, 24)).clip(0, 255).astype(np.uint8))
    smooth = np.asarray(shapes.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(0, 3, smooth.shape).astype(np.float32)
    buffer = io.BytesIO()
    picture = Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _lexicon() -> list[str]:
    """Words of 3 to 10 letters."""
    rng = np.random.default_rng(SEED)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(rng.choice(letters, rng.integers(3, 11))) for _ in range(_WORDS)]
