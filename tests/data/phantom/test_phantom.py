"""The phantom source: determined by seed and index, and every finding is there to be seen."""

from __future__ import annotations

import collections
import dataclasses
import io
import time

import numpy as np
import pytest
from PIL import Image

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.data.phantom.draw import draw
from chexjax.data.phantom.findings import KINDS, Finding, labels
from chexjax.data.phantom.scene import Scene, sample_scene
from chexjax.data.phantom.source import PhantomConfig, PhantomSource

CONFIG = PhantomConfig(train=40, validate=5, test=5, size=64, lateral=0.5, prior=0.3, seed=7)
RIGHT, LEFT = np.s_[:, 10:48], np.s_[:, 80:118]
"""The sides of a frontal film of 128 pixels, with the patient's right on the left.

The middle is left out: what comes from either side ends in the great veins there.
"""


def frontal(*findings: Finding, size: int = 128) -> np.ndarray:
    return draw(Scene(findings=findings), "frontal", size).astype(float)


def changed(finding: Finding) -> np.ndarray:
    """Where and how much a finding changes the picture of one and the same person."""
    return frontal(finding) - frontal()


def extent(finding: Finding) -> float:
    """Share of the film that a finding changes by more than a tenth of the range."""
    return float((np.abs(changed(finding)) > 25).mean())


def test_a_study_depends_on_seed_and_index_alone() -> None:
    first, again = PhantomSource(CONFIG), PhantomSource(CONFIG)
    backwards = [again[k] for k in reversed(range(10))][::-1]
    assert [first[k] for k in range(10)] == backwards
    other = PhantomSource(dataclasses.replace(CONFIG, seed=8))
    assert other[3].images != first[3].images
    assert other[3].findings != first[3].findings


def test_the_resolution_changes_nothing_but_the_pixels() -> None:
    small = PhantomSource(CONFIG)[11]
    large = PhantomSource(dataclasses.replace(CONFIG, size=160))[11]
    assert dataclasses.replace(large, images=small.images) == small
    finding = Finding(kind="effusion", side="left", severity="severe")
    fine = Image.fromarray(frontal(finding, size=256).astype(np.uint8)).reduce(2)
    # The same picture but for its grain.
    assert np.abs(np.asarray(fine, float) - frontal(finding)).mean() < 8


def test_the_share_of_laterals_changes_nothing_else() -> None:
    without = PhantomSource(dataclasses.replace(CONFIG, lateral=0.0))
    always = PhantomSource(dataclasses.replace(CONFIG, lateral=1.0))
    for k in range(5):
        assert without[k].views == ("frontal",)
        assert always[k].views == ("frontal", "lateral")
        assert always[k].images[0] == without[k].images[0]
        assert always[k].findings == without[k].findings


def test_splits_follow_each_other() -> None:
    source = PhantomSource(CONFIG)
    splits = [source[k].split for k in range(len(source))]
    assert splits == ["train"] * 40 + ["validate"] * 5 + ["test"] * 5
    assert source[3].id == "phantom-7-000003"
    with pytest.raises(IndexError, match="there are 50"):
        source[50]


def test_images_are_grey_files_of_the_size_asked_for() -> None:
    study = PhantomSource(dataclasses.replace(CONFIG, lateral=1.0))[0]
    for data in study.images:
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))
        pixels = np.asarray(image)
        assert pixels.min() < 20 and pixels.max() > 180


def test_truth_and_labels_agree() -> None:
    source = PhantomSource(CONFIG)
    for k in range(20):
        study = source[k]
        assert tuple(study.labels) == CHEXPERT_14
        assert study.labels == labels(f["kind"] for f in study.truth["findings"])


def test_labels_of_known_studies() -> None:
    def present(*kinds: str) -> set[str]:
        return {name for name, value in labels(kinds).items() if value}

    assert present() == {"No Finding"}
    assert present("tube") == {"Support Devices", "No Finding"}
    assert present("consolidation") == {"Consolidation", "Lung Opacity"}
    assert present("lesion", "pacemaker") == {"Lung Lesion", "Lung Opacity", "Support Devices"}
    assert present("effusion", "mediastinum") == {"Pleural Effusion", "Enlarged Cardiomediastinum"}


def test_every_kind_is_frequent_enough_to_be_learnt() -> None:
    scenes = [sample_scene(0, k) for k in range(4000)]
    kinds = collections.Counter(f.kind for s in scenes for f in s.findings)
    assert set(kinds) == set(KINDS)
    for kind, count in kinds.items():
        assert 0.07 < count / 4000 < 0.20, kind
    assert 0.32 < sum(not s.findings for s in scenes) / 4000 < 0.38
    assert max(len(s.findings) for s in scenes) == 3
    for scene in scenes:
        assert len({f.kind for f in scene.findings}) == len(scene.findings)


def test_no_effusion_hides_another_finding() -> None:
    for scene in (sample_scene(0, k) for k in range(4000)):
        fluid = scene.find("effusion")
        if fluid is None or fluid.severity == "mild":
            continue
        for finding in scene.findings:
            same_side = fluid.side in ("bilateral", finding.side)
            assert not (finding.zone == "lower" and same_side), scene
            assert fluid.severity == "moderate" or finding.kind not in ("cardiomegaly", "edema")


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_finding_can_be_seen(kind: str) -> None:
    table = KINDS[kind]
    for severity in table.severities or (None,):
        for zone in table.zones or (None,):
            side = table.sides[0] if table.sides else None
            finding = Finding(kind=kind, side=side, severity=severity, zone=zone)
            # 40 pixels and more stand out by a tenth of the range.
            assert extent(finding) > 40 / 128**2, finding


@pytest.mark.parametrize("kind", [k for k, table in KINDS.items() if table.sides])
def test_findings_are_on_the_side_that_they_name(kind: str) -> None:
    zone = "upper" if KINDS[kind].zones else None
    severity = "severe" if KINDS[kind].severities else None
    for side, here, there in (("left", LEFT, RIGHT), ("right", RIGHT, LEFT)):
        change = np.abs(changed(Finding(kind=kind, side=side, severity=severity, zone=zone)))
        assert (change[here] > 25).sum() > 2 * (change[there] > 25).sum(), side


@pytest.mark.parametrize("kind", [k for k, table in KINDS.items() if table.severities])
def test_a_worse_finding_is_larger(kind: str) -> None:
    table = KINDS[kind]
    sizes = [
        extent(Finding(kind=kind, side=(table.sides or (None,))[0], severity=s, zone="mid"))
        for s in table.severities
    ]
    for milder, worse in zip(sizes, sizes[1:], strict=False):
        assert worse > 1.25 * milder


def test_zones_lie_under_each_other() -> None:
    centres = []
    for zone in ("upper", "mid", "lower"):
        change = np.abs(changed(Finding(kind="consolidation", side="right", zone=zone)))
        rows = (change > 25).sum(axis=1)
        centres.append(float((rows * np.arange(128)).sum() / rows.sum()))
    assert centres[0] + 12 < centres[1] < centres[2] - 12


@pytest.mark.parametrize("kind", ["cardiomegaly", "effusion", "edema", "pacemaker", "lesion"])
def test_the_lateral_view_shows_it_too(kind: str) -> None:
    side = "left" if KINDS[kind].sides else None
    scene = Scene(findings=(Finding(kind=kind, side=side, severity="severe", zone="mid"),))
    healthy = draw(Scene(findings=()), "lateral", 128).astype(float)
    assert (np.abs(draw(scene, "lateral", 128) - healthy) > 20).sum() > 40


def test_a_view_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'oblique'.*frontal.*lateral"):
        draw(Scene(findings=()), "oblique", 64)


def test_kinds_limits_what_is_drawn() -> None:
    scenes = [sample_scene(0, k, ("effusion", "tube")) for k in range(200)]
    assert {f.kind for s in scenes for f in s.findings} == {"effusion", "tube"}


@pytest.mark.parametrize(
    "fields",
    [
        {"lateral": 1.5},
        {"prior": -0.1},
        {"train": -1},
        {"size": 8},
        {"seed": -1},
        {"kinds": ("flu",)},
        {"kinds": ()},
    ],
)
def test_configs_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    (name,) = fields
    with pytest.raises(ValueError, match=name):
        PhantomConfig(**fields)  # type: ignore[arg-type]


def test_drawing_is_quick() -> None:
    source = PhantomSource(PhantomConfig())
    source[0]
    # Time on this thread's core; a quarter of what a free core does leaves room for a busy one.
    start = time.thread_time()
    for k in range(100):
        source[k]
    assert 100 / (time.thread_time() - start) > 50
