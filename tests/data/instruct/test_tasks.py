"""What is asked about phantoms is right: answers against the scenes that were drawn."""

import dataclasses
import itertools
import re
import string

import numpy as np
import pytest

from chexjax.data.instruct.instructions import APART, INSTRUCTIONS
from chexjax.data.instruct.tasks import REGIONS, TASKS
from chexjax.data.phantom.changes import altered, changes
from chexjax.data.phantom.findings import DEVICES, KINDS, Finding, labels
from chexjax.data.phantom.reading import read
from chexjax.data.phantom.scene import sample_scene
from chexjax.data.phantom.signs import SIGNS
from chexjax.data.phantom.source import PhantomConfig, PhantomSource
from chexjax.data.study import Study

COUNT, SEED = 60, 3
CONFIG = PhantomConfig(train=COUNT, validate=0, test=0, size=32, lateral=0.5, seed=SEED)


NAMES = {kind: kind for kind in KINDS} | {"fracture": "fractures"}
"""What stands in the name of a finding, whatever else does."""


@pytest.fixture(scope="module")
def studies():
    source = PhantomSource(CONFIG)
    return [source[k] for k in range(COUNT)]


@pytest.fixture(scope="module")
def scenes():
    return [set(sample_scene(SEED, k).findings) for k in range(COUNT)]


def asked(name, studies, scenes):
    """(study, its scene, what is asked, the next study's scene) wherever something is."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(COUNT):
        other = (k + 1) % COUNT
        question = TASKS[name].make(studies[k], studies[other], rng)
        if question is not None:
            found.append((studies[k], scenes[k], question, scenes[other]))
    assert found
    return found


def stated(text):
    """What a text says is there, by the reader of reports."""
    return set(read(text).findings)


def kinds(findings):
    return {f.kind for f in findings}


def test_every_task_has_ten_phrasings_that_leave_open_what_the_task_fills_in(studies, scenes):
    assert set(TASKS) - set(INSTRUCTIONS) == {"report"}
    assert set(INSTRUCTIONS) <= set(TASKS)
    for name, phrasings in INSTRUCTIONS.items():
        assert len(phrasings) == len(set(phrasings)) == 10
        made = asked(name, studies, scenes) if name != "age_group" else []  # phantoms have no age
        left_open = set(made[-1][2].fields) if made else set()
        for words in phrasings:
            fields = {field for _, field, _, _ in string.Formatter().parse(words) if field}
            assert fields == left_open
    everything = list(itertools.chain.from_iterable(INSTRUCTIONS.values()))
    assert len(everything) == len(set(everything))  # no phrasing means two tasks


def test_all_five_capabilities_are_there():
    assert {task.capability for task in TASKS.values()} == {
        "coarse",
        "fine",
        "question",
        "text",
        "other",
    }


def test_views_are_those_of_the_one_picture_shown(studies, scenes):
    answers = set()
    for study, _, question, _ in asked("view", studies, scenes):
        [number] = question.own
        assert question.answer.lower() == study.views[number] + "."
        answers.add(question.answer)
    assert answers == {"Frontal.", "Lateral."}


def test_disease_labels_are_the_scene_s(studies, scenes):
    for _, scene, question, _ in asked("disease", studies, scenes):
        present = {name for name, value in labels(kinds(scene)).items() if value}
        assert set(question.answer.removesuffix(".").split(", ")) == present


def test_abnormalities_are_the_scene_s_and_devices_are_none(studies, scenes):
    for _, scene, question, _ in asked("abnormality_detection", studies, scenes):
        wrong = kinds(scene) - set(DEVICES)
        if not wrong:
            assert question.answer == "No."
            continue
        named = question.answer.removeprefix("Yes: ").removesuffix(".").split(", ")
        assert len(named) == len(wrong)
        assert {kind for kind in KINDS for name in named if NAMES[kind] in name} == wrong


def test_places_are_those_of_the_finding_asked_for(studies, scenes):
    for _, scene, question, _ in asked("abnormality_localisation", studies, scenes):
        named = {f for f in scene if NAMES[f.kind] in question.fields["finding"]}
        [finding] = named
        words = question.answer.lower().removesuffix(".").split()
        side = {"left": "left", "right": "right", "both": "bilateral"}
        assert side[next(w for w in words if w in side)] == finding.side
        assert ("zone" in words) == (finding.zone is not None)
        assert finding.zone is None or finding.zone in words


def test_foreign_objects_are_the_devices(studies, scenes):
    for _, scene, question, _ in asked("foreign_objects", studies, scenes):
        devices = {f for f in scene if f.kind in DEVICES}
        assert stated(question.answer) == devices
        assert (question.answer == "None.") == (not devices)


@pytest.mark.parametrize("name", ["closed_question", "text_question"])
def test_yes_and_no_are_true_and_about_equally_frequent(name, studies, scenes):
    said = []
    for study, scene, question, _ in asked(name, studies, scenes):
        present = {label.lower() for label, value in labels(kinds(scene)).items() if value}
        true = question.fields["finding"] in present
        assert question.answer == ("Yes." if true else "No.")
        assert question.fields.get("report", study.findings) == study.findings
        if present != {"no finding"}:
            said.append(true)
    assert 0.3 < np.mean(said) < 0.7


def test_grades_are_those_of_the_finding_asked_for(studies, scenes):
    grades = {"mild": "mild", "small": "mild", "moderate": "moderate", "severe": "severe"}
    for _, scene, question, _ in asked("open_question", studies, scenes):
        [finding] = [f for f in scene if NAMES[f.kind] in question.fields["finding"]]
        word = question.answer.lower().removesuffix(".")
        assert (grades | {"large": "severe"})[word] == finding.severity


def test_differences_turn_the_first_study_into_the_second(studies, scenes):
    for _, scene, question, other in asked("difference", studies, scenes):
        assert (question.own, question.others) == ((0,), (0,))
        assert (
            applied(scene, question.answer, "Only the second", "Only the first", "Otherwise")
            == other
        )


def test_of_two_patients_nothing_is_called_new_or_changed(studies, scenes):
    assert len(set(APART)) == 10 and not set(APART) & set(INSTRUCTIONS["difference"])
    for words in APART:
        assert not re.search(r"\b(new|gone|chang|earlier|now)", words, re.IGNORECASE)
    for *_, question, _ in asked("difference", studies, scenes):
        assert question.phrasings == APART
    patient = [dataclasses.replace(study, patient="a") for study in studies]
    for _, scene, question, other in asked("difference", patient, scenes):
        assert not question.phrasings
        assert applied(scene, question.answer, "New", "Gone", "Changed") == other


def applied(findings, said, new, gone, changed):
    """The findings after what was said about them came true."""
    parts = dict(re.findall(r"(\w[\w ]*): ([^.]*)\.", said))
    assert set(parts) <= {new, gone, changed}
    found = set(findings) - stated(parts.get(gone, "")) | stated(parts.get(new, ""))
    for pair in filter(None, parts.get(changed, "").split(", ")):
        before, after = map(stated, pair.split(" to "))
        assert before <= found
        found = found - before | after
    return found


def test_a_study_does_not_differ_from_its_like():
    finding = Finding(kind="effusion", side="left", severity="mild")
    ways = {"new": "new", "gone": "gone", "changed": "changed"}
    assert changes([finding], [finding], **ways) == ""
    large = Finding(kind="effusion", side="left", severity="severe")
    mass = Finding(kind="lesion", side="right", severity="severe", zone="mid")
    assert changes([finding], [mass, large], **ways) == (
        "New: right mid zone mass. "
        "Changed: small left pleural effusion to large left pleural effusion."
    )


@pytest.mark.parametrize("name", ["findings_with_indication", "findings", "report"])
def test_findings_are_the_report_which_says_what_the_scene_shows(name, studies, scenes):
    for study, scene, question, _ in asked(name, studies, scenes):
        assert question.answer == study.findings
        assert stated(question.answer) == scene
        assert question.fields.get("indication", study.indication) == study.indication


@pytest.mark.parametrize("name", ["impression", "summarisation"])
def test_impressions_say_what_is_wrong_and_leave_devices_out(name, studies, scenes):
    for study, scene, question, _ in asked(name, studies, scenes):
        wrong = {f for f in scene if f.kind not in DEVICES}
        assert stated(question.answer) == wrong
        if not wrong:
            assert question.answer == "No acute cardiopulmonary abnormality."
        assert question.fields.get("report", study.findings) == study.findings


def test_anatomy_is_described_region_by_region(studies, scenes):
    met = set()
    for _, scene, question, _ in asked("anatomy_findings", studies, scenes):
        region = question.fields["region"]
        here = {f for f in scene if f.kind in REGIONS[region]}
        said = read(question.answer)
        assert set(said.findings) == here
        denied = {kind for denial in said.denied for kind in denial.kinds}
        assert not denied & kinds(scene)
        met.add((region, bool(here)))
    assert len(met) > 8


def test_errors_of_a_candidate_are_all_named(studies, scenes):
    answers = []
    for study, scene, question, _ in asked("report_evaluation", studies, scenes):
        assert question.fields["reference"] == study.findings
        told = stated(question.fields["candidate"])
        said = question.answer
        assert (said == "No error.") == (told == scene)
        if told != scene:
            assert applied(scene, said, "False", "Missing", "Wrong") == told
        answers.append(said.split(":")[0])
    assert {"No error.", "False", "Missing", "Wrong"} == set(answers)


def test_a_careless_reader_gets_one_thing_wrong_at_most():
    rng = np.random.default_rng(1)
    true = (Finding(kind="edema", severity="mild"), Finding(kind="tube"))
    for _ in range(50):
        told = altered(true, (Finding(kind="fracture", side="left"), true[1]), rng)
        assert len(set(told) ^ set(true)) <= 2 and len(kinds(told)) == len(told)


def test_explanations_are_of_a_finding_that_is_there(studies, scenes):
    for _, scene, question, _ in asked("explanation", studies, scenes):
        [finding] = stated(question.fields["finding"])
        assert finding in scene
        assert "{" not in question.answer
        if finding.side:
            assert (finding.side if finding.side != "bilateral" else "both") in question.answer
    assert set(SIGNS) == set(KINDS)


def real(name, labels, mesh=(), **more):
    given = {
        "images": (b"x",),
        "views": ("PA",),
        "indication": "Cough.",
        "findings": "Clear.",
        "truth": {"mesh": list(mesh)} if mesh else {},
    }
    return Study(id=name, split="train", labels=labels, **{**given, **more})


def made_of(study, other=None):
    rng = np.random.default_rng(0)
    asked = {name: task.make(study, other or study, rng) for name, task in TASKS.items()}
    return {name: question for name, question in asked.items() if question}


ALWAYS = {"view", "findings_with_indication", "findings", "report"}


def test_of_a_source_that_knows_labels_and_reports_alone_those_tasks_come():
    made = made_of(real("a", {"Edema": -1, "Fracture": 0}))
    assert set(made) == {*ALWAYS, "closed_question", "text_question"}
    assert made["view"].answer == "PA."
    # Of what is uncertain nothing is asked.
    assert (made["closed_question"].fields, made["closed_question"].answer) == (
        {"finding": "fracture"},
        "No.",
    )


def test_of_a_source_that_knows_nothing_but_reports_no_label_is_asked():
    assert set(made_of(real("a", {}, views=("UNKNOWN",)))) == ALWAYS - {"view"}
    assert made_of(real("a", {}, views=("AP AXIAL",)))["view"].answer == "AP axial."


@pytest.mark.parametrize(
    ("labels", "abnormal", "devices"),
    [
        ({"Edema": 1, "Lung Opacity": 1, "Fracture": -1}, "Yes: lung opacity, edema.", None),
        ({"No Finding": 1, "Support Devices": 1}, "No.", "Support devices."),
        ({"No Finding": 0, "Edema": -1, "Support Devices": 0}, None, "None."),
        ({"Edema": 0, "Support Devices": -1}, None, None),
    ],
)
def test_labels_say_what_is_abnormal_and_whether_there_are_devices(labels, abnormal, devices):
    made = made_of(real("a", labels))
    answers = {name: question.answer for name, question in made.items()}
    assert answers.get("abnormality_detection") == abnormal
    assert answers.get("foreign_objects") == devices


def test_labels_that_two_studies_are_sure_of_differ():
    first = real("a", {"Edema": 1, "Fracture": 0, "Pneumonia": -1, "Atelectasis": 1})
    second = real("b", {"Edema": 0, "Fracture": 1, "Pneumonia": 1, "Atelectasis": 1})
    apart = "Only the second: fracture. Only the first: edema."
    assert made_of(first, second)["difference"].answer == apart
    both = [dataclasses.replace(study, patient="a") for study in (first, second)]
    assert made_of(*both)["difference"].answer == "New: fracture. Gone: edema."
    assert "difference" not in made_of(first, real("c", {"Edema": 1}))
    assert "difference" not in made_of(first, real("d", second.labels, images=(), views=()))


@pytest.mark.parametrize(
    ("mesh", "where", "how_severe"),
    [
        ("Opacity/lung/lower lobe/left/mild", ("opacity", "Left lower lobe."), "Mild."),
        ("Fractures, Bone/ribs/right/severe", ("bone fractures", "Right."), "Severe."),
        ("Pulmonary Atelectasis/bilateral", ("pulmonary atelectasis", "Both sides."), None),
        ("Infiltrate/upper lobe/bilateral", ("infiltrate", "Both upper lobes."), None),
        ("Cardiomegaly/moderate", None, "Moderate."),
        ("Lung/hypoinflation/left/mild", None, None),  # the lung is no finding
        ("Medical Device/left", None, None),
    ],
)
def test_mesh_terms_say_where_a_finding_is_and_how_severe(mesh, where, how_severe):
    made = made_of(real("a", {}, [mesh]))
    place, grade = (made.get(name) for name in ("abnormality_localisation", "open_question"))
    assert (place and (place.fields["finding"], place.answer)) == where
    assert (grade and grade.answer) == how_severe


def test_of_a_term_that_stands_twice_no_place_is_asked():
    made = made_of(real("a", {}, ["Nodule/lung/left", "Nodule/lung/right/mild"]))
    assert not {"abnormality_localisation", "open_question"} & set(made)


@pytest.mark.parametrize(
    ("age", "answer"),
    [
        (0.5, "Under 18 years."),
        (18, "18 to 39 years."),
        (59.9, "40 to 59 years."),
        (91, "60 years or more."),
    ],
)
def test_the_age_group_is_asked_where_the_age_is_known(age, answer):
    assert made_of(real("a", {}, attributes={"age": age}))["age_group"].answer == answer
    assert "age_group" not in made_of(real("a", {}, attributes={"age": "old"}))
