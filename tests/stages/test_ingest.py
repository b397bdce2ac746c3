"""Ingest keeps what can be used and names what cannot, row by row."""

import io

import numpy as np
import pytest
from PIL import Image

from chexjax.data.intake import check
from chexjax.data.study import Study
from chexjax.stages.ingest import sort_out


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


GOOD = png(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))


def study(name, image=GOOD, findings="The lungs are clear."):
    return Study(
        id=name,
        split="train",
        images=(image,),
        views=("frontal",),
        indication="Cough.",
        findings=findings,
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (study("x", image=png(np.zeros((64, 64), np.uint8))), "every pixel of the image is 0"),
        (study("x", image=png(np.full((1, 1), 7, np.uint8))), "1 x 1 pixels"),
        (study("x", image=GOOD[: len(GOOD) // 2]), "cannot be decoded"),
        (study("x", image=b"not an image"), "cannot be decoded"),
        (study("x", findings="  \n"), "reference report is empty"),
    ],
)
def test_an_unusable_study_is_named_and_the_others_go_on(bad, reason):
    done = sort_out(check([study("before"), bad, study("after")]))
    assert [row["id"] for row in done.rows] == ["before", "after"]
    [reject] = done.rejects
    assert reject.id == "x"
    assert reason in reject.reason


def test_a_study_comes_back_from_its_row_unchanged():
    before = study("a")
    assert Study.from_row(sort_out(check([before])).rows[0]) == before
