"""The gallery: chosen by the stated rule, marked by the judge's items, safe for any text."""

from __future__ import annotations

import dataclasses
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from chexjax.data.study import Study
from chexjax.evaluate.gallery import choose, gallery, marked
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.picture import picture
from chexjax.judges.base import Judgement


def with_gains(evaluation: Evaluation, gains: list[float]) -> Evaluation:
    base, *others, test = evaluation.systems
    base = dataclasses.replace(base, columns={"score": np.zeros(len(gains))})
    test = dataclasses.replace(test, columns={"score": np.array(gains)})
    return dataclasses.replace(evaluation, systems=(base, *others, test))


def test_largest_gains_largest_losses_and_even_steps_between(evaluation: Evaluation) -> None:
    gains = [0.0, 0.9, -0.8, 0.1, 0.5, -0.2, 0.0, -0.1, 0.2]
    picks = choose(with_gains(evaluation, gains), 6)
    assert [(p.study, p.reason) for p in picks] == [
        (1, "large gain"),
        (4, "large gain"),
        (2, "large loss"),
        (5, "large loss"),
        (3, "in between"),  # left, by rank: 8 3 0 6 7; the steps fall on the 2nd and the 4th
        (6, "in between"),
    ]
    assert picks[0].gain == 0.9


def test_without_losses_their_places_go_to_the_rest(evaluation: Evaluation) -> None:
    picks = choose(with_gains(evaluation, [0.0, 0.0, 0.3, 0.0]), 3)
    assert [p.reason for p in picks] == ["large gain", "in between", "in between"]


def test_no_study_twice_and_none_left_out_where_there_are_few(evaluation: Evaluation) -> None:
    picks = choose(with_gains(evaluation, [0.2, 0.1, 0.3, 0.0, 0.4]), 12)
    assert sorted(p.study for p in picks) == [0, 1, 2, 3, 4]


def item(category: str, start: int, end: int) -> dict[str, object]:
    return {"category": category, "text": "why", "span": [start, end]}


def test_marks_cover_their_spans_and_the_text_survives() -> None:
    report = "Edema & <fluid>. Clear."
    found = marked(report, Judgement(0.5, {"items": [item("matched", 0, 5), item("a", 8, 15)]}))
    assert re.findall(r'<mark class="(\w+)"[^>]*>(.*?)(?:<sup|</mark)', found) == [
        ("match", "Edema"),
        ("wrong", "&lt;fluid&gt;"),
    ]
    bare = re.sub(r"<sup>.*?</sup>|<[^>]+>", "", found)
    assert html.unescape(bare) == report


def test_the_graver_mark_wins_where_spans_overlap() -> None:
    items = [item("d", 2, 4), item("insignificant-d", 1, 5), item("matched", 0, 6)]
    found = marked("abcdef", Judgement(0, {"items": items}))
    kinds = re.findall(r'<mark class="(\w+)"[^>]*>(\w+)', found)
    assert kinds == [
        ("match", "a"),
        ("small", "b"),
        ("wrong", "cd"),
        ("small", "e"),
        ("match", "f"),
    ]


@pytest.mark.parametrize("details", [{}, {"items": []}])
def test_a_judge_without_items_leaves_the_report_as_it_is(details: dict[str, object]) -> None:
    assert marked("a < b", Judgement(0, details)) == "a &lt; b"
    assert marked("", Judgement(0, details)) == ""


def test_missing_findings_are_listed_and_report_text_is_escaped(
    evaluation: Evaluation, studies: list[Study]
) -> None:
    asked: list[int] = []

    def study(number: int) -> Study:
        asked.append(number)
        return studies[number]

    assert gallery(evaluation, study, 1).count("<article") == len(asked) == 1
    found = gallery(evaluation, studies.__getitem__)
    assert "missing: edema" in found
    assert "<script>" not in found and "&lt;script&gt;" in found
    assert "Cough &amp; fever" in found
    assert found.count("<article") == 4
    assert "<h3>Study 3</h3>" in found and not any(study.id in found for study in studies)


def test_pictures_are_inline_png_of_bounded_size() -> None:
    buffer = io.BytesIO()
    white = Image.new("RGB", (1000, 500), "white")
    white.paste("black", (0, 0, 500, 500))
    white.save(buffer, "JPEG")
    found = picture(buffer.getvalue(), 'frontal "AP"')
    assert found.startswith('<img src="data:image/png;base64,')
    assert 'alt="frontal &quot;AP&quot; view"' in found
    assert len(found) < 5000
