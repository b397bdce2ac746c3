"""The oracle's rules, each counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from chexjax.data.phantom.grammar import plan, write
from chexjax.data.phantom.scene import sample_scene
from chexjax.data.phantom.source import PhantomConfig, PhantomSource
from chexjax.judges import Judgement
from chexjax.judges.oracle import PhantomOracle, labels

LEFT = "There is a small left pleural effusion."


def judge(reference: str, candidate: str) -> Judgement:
    (judgement,) = PhantomOracle().judge([reference], [candidate])
    return judgement


def counts(reference: str, candidate: str) -> tuple[int, str, str]:
    """Matched, letters of the significant errors, letters of the insignificant ones."""
    details = judge(reference, candidate).details
    assert list(details["significant"]) == list(details["insignificant"]) == list("abcdef")

    def letters(name: str) -> str:
        return "".join(letter * n for letter, n in details[name].items())

    return details["matched"], letters("significant"), letters("insignificant")


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        # Positive in both.
        (LEFT, "Small left pleural effusion.", (1, "", "")),
        (LEFT, "Small right pleural effusion.", (0, "c", "")),
        (LEFT, "Large right pleural effusion.", (0, "c", "")),
        (LEFT, "Small bilateral pleural effusions.", (0, "c", "")),
        (LEFT, "Small pleural effusion.", (0, "c", "")),
        (LEFT, "Moderate left pleural effusion.", (1, "", "d")),
        (LEFT, "Left pleural effusion.", (1, "", "d")),
        (LEFT, "Large left pleural effusion.", (0, "d", "")),
        ("Left upper zone nodule.", "Left lower zone nodule.", (0, "c", "")),
        ("Left upper zone nodule.", "Left nodule.", (1, "", "c")),
        ("Left upper zone nodule.", "Left upper zone mass.", (0, "d", "")),
        ("Pleural effusion.", "Large left pleural effusion.", (1, "", "")),
        # Positive in one.
        (LEFT, "No pleural effusion.", (0, "b", "")),
        (LEFT, "The lungs are clear.", (0, "b", "")),
        ("No pleural effusion.", LEFT, (0, "a", "")),
        ("The heart is normal.", LEFT, (0, "a", "")),
        (LEFT, LEFT + " Right lower zone consolidation.", (1, "a", "")),
        # Statements of absence.
        ("No effusion or pneumothorax.", "There is no pneumothorax.", (1, "", "")),
        ("No effusion or pneumothorax.", "No effusion. No pneumothorax.", (1, "", "")),
        ("No effusion. No pneumothorax.", "No effusion or pneumothorax.", (2, "", "")),
        ("No effusion or pneumothorax.", "No pneumothorax. " + LEFT, (0, "a", "")),
        ("No effusion or pneumothorax.", "The lungs are clear.", (0, "", "")),
        ("The lungs are clear.", "No consolidation. No edema.", (1, "", "")),
        # Contradicting oneself, and repeating oneself.
        (LEFT, LEFT + " Small right pleural effusion.", (1, "a", "")),
        (LEFT, "No effusion. " + LEFT, (0, "ab", "")),
        (LEFT, LEFT + " No effusion.", (1, "", "")),
        (LEFT, f"{LEFT} {LEFT} {LEFT}", (1, "", "")),
        ("The lungs are clear.", LEFT + LEFT, (0, "a", "")),
        # Comparisons.
        ("Unchanged from the prior study.", "No change since the prior study.", (1, "", "")),
        (LEFT, LEFT + " Worse since the prior study.", (1, "e", "")),
        (LEFT + " Worse since the prior study.", LEFT, (1, "f", "")),
        (LEFT + " Unchanged from the prior study.", LEFT, (1, "", "f")),
        ("Worse since the prior study.", "Improved since the prior study.", (0, "e", "")),
        # Several at once: effusion matched, edema missing, fracture false, heart matched.
        (
            LEFT + " Mild pulmonary edema. The heart is not enlarged.",
            LEFT + " Left rib fractures. The heart size is normal.",
            (2, "ab", ""),
        ),
    ],
)
def test_counts_by_hand(reference: str, candidate: str, expected: tuple[int, str, str]) -> None:
    assert counts(reference, candidate) == expected


def test_the_score_is_matched_over_matched_and_significant() -> None:
    reference = LEFT + " The heart is normal. Mild pulmonary edema."
    assert judge(reference, reference).score == 1.0
    # Two matched (one with an insignificant error) and one missing.
    assert judge(reference, "Moderate left effusion. Normal heart.").score == pytest.approx(2 / 3)
    assert judge(reference, "The bones are unremarkable.").score == 0.0


def test_items_mark_the_candidate_where_it_is_right_or_wrong() -> None:
    candidate = "Moderate left effusion. Left rib fractures. Normal heart."
    details = judge(LEFT + " Mild pulmonary edema. The heart is normal.", candidate).details
    marks = [
        (item["category"], item["span"] and candidate[slice(*item["span"])])
        for item in details["items"]
    ]
    assert marks == [
        ("matched", "Moderate left effusion."),
        ("insignificant-d", "Moderate left effusion."),
        ("b", None),
        ("a", "Left rib fractures."),
        ("matched", "Normal heart."),
    ]
    assert all(item["text"] for item in details["items"])


@pytest.mark.parametrize(
    "candidate",
    ["", "   ", "\n", "the of of", "\x00\ufffd", "no no no", "left " * 5000, ". " * 5000],
)
def test_senseless_candidates_score_nothing(candidate: str) -> None:
    judgement = judge(LEFT, candidate)
    assert judgement.score == 0.0
    assert judgement.details["significant"]["b"] == 1


def test_an_empty_reference_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"reference 1 is empty.*leave such studies out"):
        PhantomOracle().judge([LEFT, " \n"], [LEFT, LEFT])
    with pytest.raises(ValueError, match="2 references but 1 candidates"):
        PhantomOracle().judge([LEFT, LEFT], [LEFT])


def test_every_phantom_agrees_with_itself() -> None:
    source = PhantomSource(PhantomConfig(train=80, validate=0, test=0, size=32, prior=0.4))
    for k in range(len(source)):
        study = source[k]
        assert labels(study.findings) == study.labels
        judgement = judge(study.findings, study.findings)
        assert judgement.score == 1.0, study.findings
        assert not any(judgement.details["insignificant"].values())


def test_the_report_of_another_person_scores_far_less() -> None:
    sick = [findings for k in range(300) if (findings := sample_scene(0, k).findings)]
    rngs = [np.random.default_rng(k) for k in range(len(sick))]
    reports = [write(plan(f, rng), rng) for f, rng in zip(sick, rngs, strict=True)]
    scores = PhantomOracle().judge(reports, reports[1:] + reports[:1])
    assert np.mean([s.score for s in scores]) < 0.55
