"""A judge that needs no model, and an evaluation of three systems on four studies by it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from PIL import Image

from chexjax.data.study import Study
from chexjax.evaluate.metrics import Evaluation, System, evaluate
from chexjax.judges import Labeling
from chexjax.judges.base import Judge, Judgement

REFERENCES = ("effusion and edema", "edema", "effusion", "clear lungs <b>")


class SharedWords:
    """Score: share of the reference's words that the candidate has; each word is an item."""

    name = "shared words"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        return [self._one(r, c) for r, c in zip(references, candidates, strict=True)]

    def _one(self, reference: str, candidate: str) -> Judgement:
        wanted, said = reference.split(), candidate.split()
        items: list[dict[str, object]] = []
        for word in dict.fromkeys(said):
            start = candidate.index(word)
            category = "matched" if word in wanted else "a"
            items.append({"category": category, "text": word, "span": [start, start + len(word)]})
        missing = [word for word in wanted if word not in said]
        items += [{"category": "b", "text": f"missing: {word}", "span": None} for word in missing]
        return Judgement(1 - len(missing) / len(wanted), {"items": items})


@pytest.fixture(scope="session")
def judge() -> Judge:
    return SharedWords()


@pytest.fixture(scope="session")
def labeler() -> Labeling:
    return Labeling("two words", lambda reports: [two_words(report) for report in reports])


def two_words(report: str) -> dict[str, int]:
    return {"Edema": int("edema" in report), "Pleural Effusion": int("effusion" in report)}


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    picture = Image.new("L", (16, 16), grey)
    picture.putpixel((0, 0), 255 - grey)  # a picture of one value would be refused
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def studies() -> list[Study]:
    return [
        Study(
            id=f"study-{k}",
            split="test",
            images=(png(40 * k),),
            views=("frontal",),
            indication="Cough & fever",
            findings=findings,
        )
        for k, findings in enumerate(REFERENCES)
    ]


@pytest.fixture(scope="session")
def systems() -> list[System]:
    sft = ["effusion", "effusion", "effusion", "clear"]
    long = ["effusion and edema", "edema edema edema", "effusion", "clear lungs <script>"]
    return [
        System(name="SFT", reports=sft, shuffled=["clear"] * 4),
        System(name="SFT continued", reports=sft, note="same extra compute"),
        System(name="aligned", reports=long, shuffled=["edema"] * 4),
    ]


@pytest.fixture(scope="session")
def evaluation(
    studies: list[Study], systems: list[System], judge: Judge, labeler: Labeling
) -> Evaluation:
    return evaluate(studies, systems, judge, labeler, seed=0)
