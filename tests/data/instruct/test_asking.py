"""Which studies are asked about together."""

import dataclasses

import pytest

from chexjax.data.instruct.asking import StudyTriplets
from chexjax.data.instruct.instructions import APART
from chexjax.data.instruct.mixture import MixtureConfig
from chexjax.data.phantom.source import PhantomConfig, PhantomSource

SOURCE = PhantomSource(PhantomConfig(train=12, validate=0, test=0, size=32))
PATIENTS = "ababbaabbaca"  # by the row of the study; c has one study alone


def triplets(patients, task="difference"):
    config = MixtureConfig(tasks={task: 1.0})
    rows = [
        dataclasses.replace(SOURCE[k], patient=one.strip()).to_row()
        for k, one in enumerate(patients)
    ]
    of = {row["id"]: row["patient"] for row in rows}
    return of, list(StudyTriplets(config, rows, source="x", seed=0).about(range(len(rows))))


def test_a_second_study_is_one_of_the_same_patient():
    of, found = triplets(PATIENTS)
    assert len(found) == 11
    assert not any(one.instruction in APART for one in found)
    for one in found:
        first, second = one.studies
        assert of[first] == of[second] and first != second
        assert SOURCE[int(one.pictures[1][0])].id == second
    assert len({one.studies[1] for one in found}) > 2


def test_where_no_patient_is_named_nothing_is_said_to_have_changed():
    _, found = triplets(" " * 12)
    assert len(found) == 12
    assert all(one.instruction in APART for one in found)
    assert not any("New:" in one.answer or "Changed:" in one.answer for one in found)


@pytest.mark.parametrize("patients", ["abcdefghijkl", " " * 12])
def test_an_error_of_a_report_is_borrowed_from_any_patient(patients):
    of, found = triplets(patients, "report_evaluation")
    assert len(found) == 12 and all(len(set(one.studies)) == 2 for one in found)
