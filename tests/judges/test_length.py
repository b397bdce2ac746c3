import pytest

from chexjax.judges import build
from chexjax.judges.length import length_controlled, parse, uncontrolled


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


@pytest.mark.parametrize(
    ("name", "excess"),
    [("lc_words_x", 2.0), ("lc_characters_x", 14 / 9), ("lc_sentences_x", 3.0), ("lc_x", 2.0)],
)
def test_what_counts_as_length_is_named(name, excess):
    """Four words of 14 characters in three sentences, against two of nine in one."""
    judge, length = parse(name)
    assert (judge, uncontrolled(name)) == ("x", "x")
    found = length_controlled(0.6, "No. Wet. All fair", "the lungs.", length=length)
    assert found == pytest.approx(0.6 / excess)


def test_the_denominator_is_in_the_name_and_in_the_score():
    by_words, by_characters = build("lc_rouge_1"), build("lc_characters_rouge_1")
    assert by_characters.name == f"{by_words.name} by characters"
    pair = (["aaaa bbbb"], ["aaaa c c"])  # shared: one of three words, one of two
    assert by_words.judge(*pair)[0].score == pytest.approx(0.4 / 1.5)
    assert by_characters.judge(*pair)[0].score == pytest.approx(0.4)


def test_excess_length_never_pays_below_zero():
    """Rescaled BERTScore and RadCliQ have negative scores."""
    assert length_controlled(-0.5, "a b c d", "a b") == -1.0
    assert length_controlled(-0.5, "a", "a b") == -0.5


def test_an_unknown_judge_behind_the_prefix_is_named():
    with pytest.raises(ValueError, match="no judge 'rogue_l'; did you mean 'rouge_l'"):
        build("lc_rogue_l")
