"""The data card says what the studies are, in a page that needs nothing else."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from chexjax.data.census import census
from chexjax.data.study import Study
from chexjax.evaluate import data_card
from chexjax.evaluate.data_card import DataCard, sample_rows


def study(number, split="train", **more):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    given = {
        "images": (buffer.getvalue(),),
        "views": ("PA",),
        "indication": "Cough & <fever>.",
        "findings": " ".join(["clear"] * (number + 1)),
        "labels": {"Edema": 1 if number % 2 else -1},
        "attributes": {"sex": "F"},
        "edits": {"drop_prior": 2},
    }
    return Study(id=f"study-{number}", split=split, **{**given, **more})


def card_of(studies, reasons=(), **more):
    found = json.loads(json.dumps(census([one.to_row() for one in studies], reasons)))
    given = {
        "source": "here",
        "rows": len(studies),
        "found": found,
        "samples": [studies[k] for k in sample_rows(len(studies))],
        "warnings": ["3 patients are in two splits"],
        "rules": {"drop_prior": "sentences dropped"},
        "facts": {"made": "today"},
    }
    return DataCard(**{**given, **more})


def text_of(card, tmp_path):
    data_card.write(card, tmp_path / "card.html")
    return (tmp_path / "card.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    studies = [study(k) for k in range(10)] + [study(20, "test"), study(3, "test")]
    reasons = ["the image cannot be decoded: x", "the image cannot be decoded: y"]
    return text_of(card_of(studies, reasons), tmp_path_factory.mktemp("card"))


def rows_of(page):
    """Cells of every row of every table."""
    found = (
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", page)
    )
    return [list(row) for row in found]


def test_numbers_are_those_of_the_studies(page):
    rows = rows_of(page)
    assert ["train", "10", "not said", "5.5", "5", "10", "10"] in rows
    assert ["Edema", "6", "6", "0"] in rows
    assert ["PA", "12"] in rows and ["F", "12"] in rows
    assert ["sentences dropped", "12", "24"] in rows
    assert ["the image cannot be decoded", "2"] in rows
    assert ["train and test", "not known", "1", "50.0\u00a0%"] in rows
    assert "12 studies from the source here" in page and "3 patients are in two splits" in page
    assert "2 (14.3 %) were rejected" in page


def test_the_page_stands_alone_and_escapes_what_it_quotes(page):
    assert "Cough &amp; &lt;fever&gt;." in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png|#)', page) and "<script" not in page
    assert page.count("<img") == data_card.SAMPLES
    assert 'name="viewport"' in page


def test_samples_stand_at_even_steps_and_long_reports_are_cut(tmp_path):
    assert sample_rows(800) == [50, 150, 250, 350, 450, 550, 650, 750]
    assert sample_rows(3) == [0, 1, 2] and sample_rows(0) == []
    long = study(1, findings="word " * 5000)
    assert text_of(card_of([long]), tmp_path).count("word ") < 100


def test_a_source_of_which_nothing_could_be_used_has_a_card(tmp_path):
    page = text_of(card_of([], ["it has no findings"], warnings=()), tmp_path)
    assert ["it has no findings", "1"] in rows_of(page)


def test_studies_without_images_or_labels_have_a_card(tmp_path):
    bare = [study(k, images=(), views=(), labels={}, attributes={}, edits={}) for k in range(2)]
    page = text_of(card_of(bare), tmp_path)
    assert 'id="labels"' not in page and "<img" not in page
