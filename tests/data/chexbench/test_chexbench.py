"""The official file, in a layout that is generated here."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from chexjax.data.chexbench.official import OfficialQuestions
from chexjax.data.chexbench.questions import FINDINGS, SUMMARY, UnusableQuestion

NAN = float("nan")


def item(**fields):
    usual = {
        "data_source": "CheXpert",
        "image_path": "chexpert/a.png",
        "question": "Which view?",
        "option_0": "AP",
        "option_1": "PA",
        "option_2": "Lateral",
        "option_3": NAN,
        "answer": 1,
        "slice": NAN,
    }
    return usual | fields


FILE = {
    "View Classification": [item(), item(answer=2.0, slice="MIMIC"), item(answer=3)],
    "Binary Disease Classification": [
        item(option_0="yes", option_1="no", option_2=None, image_path="chexpert/a.png|b.png")
    ],
    "Temporal Classification": [item(image_path=["chexpert/a.png", "b.png"])],
    "Phrase Grounding": [{"anything": 1}],
    FINDINGS: [
        {
            "data_source": "MIMIC",
            "image_path": ["chexpert/a.png", "b.png", "missing.png"],
            "section_indication": "Cough.",
            "section_findings": "Clear lungs.",
        },
        {"image_path": "b.png", "section_indication": NAN, "section_findings": "[x] **"},
    ],
    SUMMARY: [{"section_findings": "Clear lungs.", "section_impression": "Normal."}],
}


def picture(value):
    buffer = io.BytesIO()
    Image.fromarray(
        np.roll(np.arange(400, dtype=np.uint16), value).astype(np.uint8).reshape(20, 20)
    ).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "chexpert").mkdir()
    (tmp_path / "chexpert" / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").write_bytes(picture(2))
    return tmp_path


def opened(folder, content=FILE, **options):
    file = folder / "data.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return OfficialQuestions(file, folder, **options)


def by_id(source):
    return {source.id(k): k for k in range(len(source))}


def test_options_that_are_no_text_are_left_out_and_the_answer_counts_the_rest(folder):
    source = opened(folder)
    first, second = source[0], source[1]
    assert (first.task, first.source, first.slice) == ("View Classification", "CheXpert", "")
    assert first.options == ("AP", "PA", "Lateral") and first.options[first.answer] == "PA"
    assert (second.options[second.answer], second.slice) == ("Lateral", "MIMIC")
    assert first.images == (picture(1),) and first.chance == pytest.approx(1 / 3)


@pytest.mark.parametrize("task", ["Binary Disease Classification", "Temporal Classification"])
def test_paths_may_be_joined_or_listed(folder, task):
    source = opened(folder)
    assert source[by_id(source)[f"{task}/00000"]].images == (picture(1), picture(2))


def test_text_tasks_have_sections(folder):
    source = opened(folder)
    where = by_id(source)
    findings, summary = source[where[f"{FINDINGS}/00000"]], source[where[f"{SUMMARY}/00000"]]
    assert (findings.text, findings.reference) == ("Cough.", "Clear lungs.")
    assert len(findings.images) == 2  # the first two; the third, which is not there, is not needed
    assert summary.text == "Summarize the following Findings: Clear lungs."
    assert (summary.reference, summary.images) == ("Normal.", ())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"answer": 3}, "none of its 3 options: number 3"),
        ({"answer": "B"}, "answer is no index"),
        ({"answer": True}, "answer is no index"),
        ({"answer": NAN}, "answer is no index"),
        ({"option_1": None, "option_2": None}, "not 2 to 4: 1"),
        ({"question": None}, "question is no text"),
        ({"image_path": None}, "image_path names no image"),
        ({"image_path": "chexpert/patient7.png"}, "image 1 of 1 is not below"),
        ({"image_path": "../a.png"}, "leads out of the images' folder"),
        ({"image_path": "/etc/hostname"}, "leads out of the images' folder"),
        ({"image_path": "data.json"}, "image 1 of 1: the image cannot be decoded"),
    ],
)
def test_an_item_that_cannot_be_used_says_why_and_no_path(folder, broken, said):
    source = opened(folder, {"View Classification": [item(**broken), item()]})
    with pytest.raises(UnusableQuestion, match=said) as caught:
        source[0]
    assert "patient7" not in str(caught.value)
    assert source[1].answer == 1


def test_an_item_that_is_no_object_and_an_empty_reference_are_unusable(folder):
    with pytest.raises(UnusableQuestion, match="no JSON object"):
        opened(folder, {"View Classification": ["item"]})[0]
    source = opened(folder)
    with pytest.raises(UnusableQuestion, match="the text that it expects is empty"):
        source[by_id(source)[f"{FINDINGS}/00001"]]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("{", {}, "is no JSON"),
        ("[]", {}, "no object of task -> list"),
        ({"View Classification": {}}, {}, "no object of task -> list"),
        ({"Phrase Grounding": []}, {}, "has no task of CheXbench; it has Phrase Grounding"),
        (FILE, {"tasks": ["View Clasification"]}, "did you mean View Classification"),
        (FILE, {"tasks": ["Phrase Grounding"]}, "has no task 'Phrase Grounding'"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(folder, content, options, said):
    with pytest.raises(ValueError, match=said):
        opened(folder, content, **options)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        OfficialQuestions(tmp_path / "none.json", tmp_path)


def test_tasks_and_count_choose_and_the_rest_is_named(folder):
    source = opened(folder, tasks=["View Classification"], count=2)
    assert list(by_id(source)) == ["View Classification/00000", "View Classification/00001"]
    assert "Phrase Grounding" in source.left_out and FINDINGS in source.left_out
    assert opened(folder).left_out == ["Phrase Grounding"]


def test_the_fingerprint_knows_file_and_images(folder):
    before = opened(folder).fingerprint()
    (folder / "b.png").write_bytes(picture(2) + b"more")
    changed = opened(folder).fingerprint()
    other = opened(folder, FILE | {SUMMARY: []}).fingerprint()
    assert len({before, changed, other}) == 3
