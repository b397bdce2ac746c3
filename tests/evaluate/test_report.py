"""The page as a whole: one file, in order, whatever is known of the run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chexjax.data.study import Study
from chexjax.evaluate import report
from chexjax.evaluate.metrics import Evaluation, System, evaluate
from chexjax.evaluate.studies.analyses import Section
from chexjax.judges.base import Judge
from chexjax.page import Html

CURVE = [{"step": 0.0, "loss": 2.0}, {"step": 1.0, "loss": 1.0}]


@pytest.fixture(scope="module")
def page(
    evaluation: Evaluation, studies: list[Study], tmp_path_factory: pytest.TempPathFactory
) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.write(
        evaluation,
        studies.__getitem__,
        sections=[Section("Slices", Html("<p>by age</p>"), "Means of some studies.")],
        curves={"sft": CURVE},
        timings=[{"stage": "sft", "wall, s": 160.25}],
        facts={"policy": "2.1 M parameters", "source": "<phantom>"},
        path=path,
    )
    return path.read_text(encoding="utf-8")


def test_it_opens_with_the_result_and_shows_all_parts_in_order(page: str) -> None:
    assert re.search(r"<h1>Aligned (beats|scores lower|cannot be)[^<]*SFT</h1>", page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Result",
        "Conditions",
        "Slices",
        "Training",
        "Studies",
        "How it was made",
    ]
    assert page.count("<svg") == 4
    assert "160.2" in page and "2.1 M parameters" in page and "&lt;phantom&gt;" in page


def test_sentence_bleu_and_corpus_bleu_are_named_apart(page: str) -> None:
    assert "Sentence BLEU, mean" in page and "Corpus BLEU" in page


def test_it_needs_no_network(page: str) -> None:
    loaded = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import', page)
    assert all((a or b).startswith(("data:", "#")) for a, b in loaded)
    assert "<script" not in page and "<link" not in page


def test_labels_of_no_support_are_a_dash(page: str) -> None:
    row = re.search(r'<th scope="row">Fracture</th>(.*?)</tr>', page)
    assert row is not None
    assert set(re.findall(r"<td[^>]*>(.*?)</td>", row[1])) == {"-"}


def test_one_system_and_nothing_else_known(
    studies: list[Study], judge: Judge, tmp_path: Path
) -> None:
    found = evaluate(studies, [System(name="only", reports=["edema"] * 4)], judge, None, seed=0)
    path = tmp_path / "report.html"
    report.write(
        found, studies.__getitem__, sections=[], curves={}, timings=None, facts={}, path=path
    )
    text = path.read_text(encoding="utf-8")
    assert "<h1>Only scores" in text
    assert "<h2>Conditions</h2>" not in text and "<h2>Training</h2>" not in text
