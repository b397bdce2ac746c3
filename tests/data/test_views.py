"""Which two images of a study a policy sees."""

import random

import pytest

from chexjax.data.images import UnusableImage
from chexjax.data.splits import split_by_hash, split_named
from chexjax.data.study import Study, UnusableStudy
from chexjax.data.views import ORDER, UNKNOWN, Picture, ViewRules, choose, usable, view_name


def pictures(*views):
    return [Picture(f"{k}.png", view, b"") for k, view in enumerate(views)]


BAD = b"no picture"


def chosen(found, **rules):
    """Views of the images that are kept, and what was counted."""
    edits = {}
    there = choose(found, ViewRules(**rules), edits)
    study = Study(
        id="a",
        split="train",
        images=tuple(picture.read() for picture in there),
        views=tuple(picture.view for picture in there),
        indication="",
        findings="Clear.",
        edits=edits,
    )
    kept = usable(study, ViewRules(**rules), prepared)
    return list(kept.views), kept.edits


def prepared(image, edits):
    if image == BAD:
        raise UnusableImage("the image cannot be decoded")
    return image


def test_frontal_views_come_first_and_two_are_used():
    views = ["LATERAL", "SWIMMERS", "AP", "PA"]
    assert chosen(pictures(*views)) == (["PA", "AP"], {"images_left_out": 2})
    assert chosen(pictures(*views), most=9) == (["PA", "AP", "LATERAL", "SWIMMERS"], {})
    assert chosen(pictures(*views), rank=False) == (["LATERAL", "SWIMMERS"], {"images_left_out": 2})


def test_the_published_order_whatever_the_source_s():
    published = [
        "PA",
        "AP",
        "LATERAL",
        "LL",
        "AP AXIAL",
        "AP LLD",
        "AP RLD",
        "PA RLD",
        "PA LLD",
        "LAO",
        "RAO",
        "LPO",
        "XTABLE LATERAL",
        "SWIMMERS",
    ]
    shuffled = [*published, UNKNOWN]
    random.Random(0).shuffle(shuffled)
    assert chosen(pictures(*shuffled), most=99)[0] == [*published, UNKNOWN]
    assert {view for views in ORDER for view in views} == {*published, "FRONTAL", "RL"}


def test_views_of_one_rank_go_by_name():
    found = [Picture("b", "PA", b""), Picture("a", "PA", b""), Picture("0", UNKNOWN, b"")]
    assert [picture.name for picture in choose(found, ViewRules(most=3), {})] == ["a", "b", "0"]


def test_a_missing_image_is_counted_and_the_others_are_used():
    found = [Picture("a", "PA", None), *pictures("LATERAL")]
    assert chosen(found) == (["LATERAL"], {"images_missing": 1})


def test_an_image_of_no_use_gives_its_place_to_the_next():
    found = [Picture("a", "PA", BAD), *pictures("AP", "LATERAL", "LL")]
    assert chosen(found) == (["AP", "LATERAL"], {"images_unusable": 1, "images_left_out": 1})
    assert chosen(found, most=1) == (["AP"], {"images_unusable": 1, "images_left_out": 2})
    with pytest.raises(UnusableImage, match="cannot be decoded"):
        chosen(found[:1])
    assert chosen(found[:1], required=False) == ([], {"images_unusable": 1})


@pytest.mark.parametrize(
    ("found", "reason"),
    [([Picture("a", "PA", None)], "none of its images is there: 1 named"), ([], "names no image")],
)
def test_a_study_without_images_is_refused_unless_text_will_do(found, reason):
    with pytest.raises(UnusableStudy, match=reason):
        chosen(found)
    assert chosen(found, required=False)[0] == []
    assert chosen(found, most=0) == ([], {})


def test_views_have_one_name_each():
    names = ["pa", " Lateral", "L", "xtable_lateral", "", "Frontal"]
    assert [view_name(name) for name in names] == [
        "PA",
        "LATERAL",
        "LATERAL",
        "XTABLE LATERAL",
        UNKNOWN,
        "FRONTAL",
    ]


def test_splits_go_by_many_names():
    assert [split_named(name) for name in ("Train", "val", " DEV ", "validation", "test")] == [
        "train",
        "validate",
        "validate",
        "validate",
        "test",
    ]
    with pytest.raises(UnusableStudy, match="its split is none of .*: 'holdout'"):
        split_named("holdout")


def test_the_split_by_hash_is_the_stated_one_and_close_to_its_shares():
    """Values from the split that goes with Open-I's reports, made by other code."""
    assert [split_by_hash(name) for name in ("CXR2", "CXR8", "CXR23")] == [
        "train",
        "validate",
        "test",
    ]
    shares = [split_by_hash(str(k)) for k in range(10_000)]
    assert [round(shares.count(s) / 1000) for s in ("train", "validate", "test")] == [8, 1, 1]
