"""Tables and files hold the numbers of the evaluation and none of the patients' text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from chexjax.evaluate import table
from chexjax.evaluate.metrics import Evaluation


def test_json_holds_every_number_and_is_strict(evaluation: Evaluation, tmp_path: Path) -> None:
    table.write(evaluation, tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    aligned = found["systems"][2]
    assert aligned["score"]["mean"] == pytest.approx(11 / 12)
    assert aligned["corpus_bleu"]["low"] is None
    assert aligned["labels"]["Fracture"]["f1"]["mean"] is None
    assert found["systems"][1]["image_gain"] is None
    assert found["per_study"]["id"] == ["study-0", "study-1", "study-2", "study-3"]
    assert found["per_study"]["systems"]["aligned"]["words"] == [3, 3, 1, 3]
    assert found["metrics"]["bleu"] != found["metrics"]["corpus_bleu"]


def test_csv_has_one_measure_a_line(evaluation: Evaluation, tmp_path: Path) -> None:
    table.write(evaluation, tmp_path)
    rows = list(csv.DictReader((tmp_path / "report.csv").open()))
    found = {(row["of"], row["minus"], row["measure"]): row for row in rows}
    assert len(found) == len(rows)
    assert float(found["aligned", "", "score"]["mean"]) == pytest.approx(11 / 12)
    assert float(found["aligned", "SFT", "score"]["mean"]) == pytest.approx(0.5)
    assert found["aligned", "", "corpus_bleu"]["low"] == ""
    assert ("SFT continued", "", "shuffled_score") not in found


def test_no_report_text_leaves_through_numbers(evaluation: Evaluation, tmp_path: Path) -> None:
    table.write(evaluation, tmp_path)
    console = Console(file=io.StringIO(), width=120)
    table.show(evaluation, console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "0.917" in shown and "SFT continued" in shown
    for text in (shown, *(path.read_text() for path in tmp_path.iterdir())):
        assert "effusion and edema" not in text
        assert "clear lungs" not in text
