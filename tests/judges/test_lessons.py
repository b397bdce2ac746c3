"""What a judge learns from."""

import numpy as np
import pytest

from chexjax.judges import PhantomOracle, parse_judgement
from chexjax.judges.lessons import EXAMINED, LEARNT, EditedLessons, PhantomLessons

COUNTS = ("matched", "significant", "insignificant")
KEPT = EXAMINED.templates() - LEARNT.templates()


@pytest.mark.parametrize("examined", [False, True])
def test_an_answer_says_what_the_oracle_says(examined):
    lessons = PhantomLessons(3, examined=examined)
    for index in range(50):
        lesson = lessons[index]
        told = [parse_judgement(text) for text in lesson.answers]
        true = PhantomOracle().judge([lesson.reference] * 4, lesson.candidates)
        assert all(one.details["well_formed"] for one in told)
        for key in COUNTS:
            assert [one.details[key] for one in told] == [one.details[key] for one in true]
        assert [one.score for one in lesson.verdicts] == [one.score for one in true]


def test_no_sentence_of_the_examination_is_learnt():
    lessons, examined = PhantomLessons(0), PhantomLessons(0, examined=True)

    def shares(source):
        said = [s for k in range(150) for s in _sentences(source[k])]
        return np.mean([_is_kept(sentence) for sentence in said])

    assert shares(lessons) == 0
    assert shares(examined) > 0.5


def _sentences(lesson):
    reports = (lesson.reference, *lesson.candidates)
    return [s.strip().lower() for report in reports for s in report.split(".") if s.strip()]


def _is_kept(sentence):
    """Whether it is a kept sentence with words filled in, found without a regex."""
    words = sentence.split()
    for template in KEPT:
        parts = template.split()
        if "{thing}" in template:  # stands for two or three words, in front
            parts = parts[1:]
            if words[-len(parts) :] == parts and len(words) - len(parts) in (2, 3, 4):
                return True
        elif len(words) == len(parts) and all(
            p == w or "{" in p for p, w in zip(parts, words, strict=True)
        ):
            return True
    return False


def test_lessons_follow_from_seed_and_index():
    one, other = PhantomLessons(1)[5], PhantomLessons(2)[5]
    assert PhantomLessons(1)[5] == one
    assert one.reference != other.reference


def test_every_kind_of_error_and_none_at_all_is_among_the_candidates():
    lessons = PhantomLessons(0)
    verdicts = [verdict for k in range(100) for verdict in lessons[k].verdicts]
    for category in "abcdef":
        assert sum(v.details["significant"][category] > 0 for v in verdicts) > 10
    assert sum(not any(v.details["significant"].values()) for v in verdicts) > 40


def test_edited_lessons_go_round_the_reports_with_new_errors():
    reports = ["Small left effusion. No edema.", "Large right mass. Clear lungs. Old fracture."]
    lessons = EditedLessons(reports, seed=0, count=2)
    assert [lessons[k].reference for k in range(4)] == reports * 2
    assert len({tuple(lessons[2 * k].candidates) for k in range(10)}) > 5
    for k in range(20):
        assert len(lessons[k].candidates) == 2
        assert all(parse_judgement(text).details["well_formed"] for text in lessons[k].answers)


def test_references_are_never_empty():
    lessons = PhantomLessons(11)
    assert all(lessons[k].reference.strip() for k in range(300))
