import pytest

from chexjax.judges import build
from chexjax.judges.length import length_controlled


@pytest.mark.parametrize(
    ("words", "expected"), [(1, 0.6), (4, 0.6), (5, 0.48), (8, 0.3)], ids=lambda x: str(x)
)
def test_excess_length_alone_divides(words, expected):
    """Against a reference of four words."""
    candidate = " ".join(["word"] * words)
    assert length_controlled(0.6, candidate, "one two three four") == pytest.approx(expected)
    assert length_controlled(0.6, "", "one two three four") == 0.6


def test_any_judge_is_controlled_by_the_prefix_of_its_name():
    reference = "the heart is large"
    candidates = ["the heart is large", "the heart is large the heart is large"]
    plain, controlled = build("rouge_l"), build("lc_rouge_l")
    assert controlled.name == f"{plain.name}, length-controlled"
    raw = [one.score for one in plain.judge([reference] * 2, candidates)]
    verdicts = controlled.judge([reference] * 2, candidates)
    assert [one.score for one in verdicts] == pytest.approx([raw[0], raw[1] / 2])
    assert [one.details["uncontrolled"] for one in verdicts] == pytest.approx(raw)


def test_an_unknown_judge_behind_the_prefix_is_named():
    with pytest.raises(ValueError, match="no judge 'rogue_l'; did you mean 'rouge_l'"):
        build("lc_rogue_l")
