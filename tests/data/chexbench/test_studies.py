"""Questions about phantoms and Open-I's studies: their truth, their options, their seeds."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from chexjax.data.chexbench.questions import BINARY, MULTIPLE, REASONING, SINGLE, VIEW, VQA
from chexjax.data.chexbench.studies import StudyQuestions
from chexjax.data.chexbench.tasks import MAKERS
from chexjax.data.phantom.findings import KINDS
from chexjax.data.phantom.scene import sample_scene
from chexjax.data.phantom.source import PhantomConfig, PhantomSource, png
from chexjax.data.sources.openi_labels import labels
from chexjax.data.study import Study

CONFIG = PhantomConfig(train=0, validate=0, test=60, size=48)
OPTIONS = {VIEW: {3}, BINARY: {2}, SINGLE: {4}, MULTIPLE: {4}, VQA: {2, 3, 4}, REASONING: {2}}


@pytest.fixture(scope="module")
def rows():
    source = PhantomSource(CONFIG)
    return [source[k].to_row() for k in range(len(source))]


def made(rows, config=CONFIG, **options):
    return StudyQuestions(rows, range(len(rows)), config, **{"seed": 0} | options)


@pytest.fixture(scope="module")
def questions(rows):
    source = made(rows)
    found = {}
    for k in range(len(source)):
        found.setdefault(source[k].task, []).append(source[k])
    return found


def scene_of(question):
    index = int(question.id.rpartition("-")[2])
    return sample_scene(CONFIG.seed, index, CONFIG.kinds)


def labels_of(question):
    return {KINDS[finding.kind].label.lower() for finding in scene_of(question).findings}


def right(question):
    return question.options[question.answer]


def test_all_six_tasks_are_asked_with_the_official_numbers_of_options(questions):
    assert {task: {len(q.options) for q in found} for task, found in questions.items()} == OPTIONS


def test_no_position_of_the_right_answer_gives_it_away(questions):
    for task, found in questions.items():
        often = Counter(question.answer for question in found)
        assert len(often) >= min(3, max(OPTIONS[task])) and max(often.values()) < 0.75 * len(
            found
        ), task


def test_yes_means_that_the_scene_has_the_label(questions):
    for question in questions[BINARY]:
        label = question.text.removeprefix("Does this chest X-ray show ").removesuffix("?")
        assert (right(question) == "yes") == (label in labels_of(question))


def test_one_label_of_four_is_in_the_scene(questions):
    for question in questions[SINGLE]:
        assert [o for o in question.options if o in labels_of(question)] == [right(question)]


def test_one_set_of_four_is_the_scene_s_and_all_are_of_one_size(questions):
    for question in questions[MULTIPLE]:
        sets = [set(option.split(", ")) for option in question.options]
        assert [s for s in sets if s == labels_of(question)] == [sets[question.answer]]
        assert len({len(s) for s in sets}) == 1
        assert len(set(question.options)) == 4


def test_statements_differ_in_one_word_and_the_true_one_is_the_scene_s(questions):
    for question in questions[REASONING]:
        true, false = right(question).split(), question.options[1 - question.answer].split()
        differing = [(a, b) for a, b in zip(true, false, strict=True) if a != b]
        assert len(differing) == 1
        known = {
            (finding.side, finding.severity, finding.zone)
            for finding in scene_of(question).findings
        }
        assert any(differing[0][0] in about for about in known)


def test_a_word_that_is_asked_for_is_the_scene_s(questions):
    nouns = {
        "rib fracture": "fracture",
        "central venous catheter": "catheter",
        "pulmonary edema": "edema",
    }
    fields = {"side": "side", "severity": "severity", "place": "zone"}
    seen = Counter()
    for question in questions[VQA]:
        if question.slice == "yes or no":
            continue
        noun = question.text.removesuffix("?").split(" the ")[1]
        kind = {"pleural effusion": "effusion", "nodule": "lesion", "mass": "lesion"} | nouns
        finding = scene_of(question).find(kind.get(noun, noun))
        value = "absent" if finding is None else getattr(finding, fields[question.slice])
        assert right(question).removesuffix(" zone") == value
        seen[question.slice] += 1
    assert len(seen) == 3


def test_the_view_that_is_shown_is_the_one_that_is_right(questions):
    for question in questions[VIEW][:20]:
        [shown] = question.images
        scene = scene_of(question)
        drawn = {"frontal": png(scene, "frontal", CONFIG.size)}
        side = png(scene, "lateral", CONFIG.size)
        drawn["lateral facing left"] = side
        drawn["lateral facing right"] = side
        pixels = np.asarray(Image.open(io.BytesIO(shown)))
        expected = np.asarray(Image.open(io.BytesIO(drawn[right(question)])))
        if right(question) == "lateral facing right":
            expected = expected[:, ::-1]
        assert np.array_equal(pixels, expected)


def test_questions_follow_from_the_seed_and_the_study_alone(rows):
    first = made(rows)
    ids = {first.id(k): k for k in range(len(first))}
    again = made(rows[:30], tasks=[VIEW, REASONING])
    for k in range(len(again)):
        assert again[k] == first[ids[again.id(k)]]
    other = made(rows, seed=1)
    assert [other[k].answer for k in range(30)] != [first[k].answer for k in range(30)]


def test_count_and_tasks_choose(rows):
    source = made(rows, tasks=[SINGLE], count=3)
    assert [source[k].task for k in range(len(source))] == [SINGLE] * 3
    with pytest.raises(ValueError, match="did you mean View Classification"):
        made(rows, tasks=["View Clasification"])


def test_only_what_the_phantoms_can_show_is_asked_for():
    config = PhantomConfig(train=0, validate=0, test=30, size=48, kinds=("effusion", "pacemaker"))
    source = PhantomSource(config)
    found = made([source[k].to_row() for k in range(30)], config)
    asked = [found[k] for k in range(len(found))]
    assert {q.task for q in asked} == set(MAKERS) - {SINGLE, MULTIPLE}  # two labels are too few
    said = " ".join(q.text + " ".join(q.options) for q in asked)
    assert "edema" not in said and "pneumothorax" not in said


def openi(number, mesh, views=("PA",)):
    picture = png(sample_scene(0, number), "frontal", 32)
    return Study(
        id=f"CXR{number}",
        split="test",
        images=(picture,) * len(views),
        views=views,
        indication="",
        findings="Text.",
        labels=labels(mesh),
        attributes={"source": "openi"},
        truth={"mesh": list(mesh)},
    ).to_row()


MESH = (
    ("Pleural Effusion/left/mild", "Cardiomegaly/mild"),
    ("Pulmonary Atelectasis/base/bilateral", "Fractures, Bone/ribs/right"),
    ("Opacity/lung/upper lobe/left", "Opacity/lung/lower lobe/right"),
    ("normal",),
)


def test_what_open_i_s_terms_allow_is_asked():
    rows = [openi(k, mesh) for k, mesh in enumerate(MESH)]
    rows.append(openi(4, ["normal"], views=("UNKNOWN",)))
    asked = [q for seed in range(40) for q in every(made(rows, None, seed=seed))]
    assert {question.source for question in asked} == {"openi"}
    statements = {right(q) for q in asked if q.task == REASONING}
    assert "pleural effusion, left, mild" in statements
    assert "pulmonary atelectasis, base, bilateral" in statements
    assert not any("opacity" in one for one in statements)  # it is on both sides
    views = [question for question in asked if question.task == VIEW]
    assert {question.options for question in views} == {("AP", "PA", "LATERAL")}
    assert {right(question) for question in views} == {"PA"}
    sides = [q for q in asked if q.text == "On which side is the pleural effusion?"]
    assert {(q.options, right(q)) for q in sides} == {(("left", "right", "bilateral"), "left")}


def every(source):
    return [source[k] for k in range(len(source))]


def test_studies_of_which_nothing_is_known_are_an_error():
    study = openi(0, [], views=("UNKNOWN",))
    with pytest.raises(ValueError, match="nothing is known of 1 studies"):
        made([study], None)
