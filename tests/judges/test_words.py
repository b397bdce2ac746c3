"""Words of reports, as the published package has them; expectations worked out by hand."""

import pytest

from chexjax.judges.words import SPLITS, as_read


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("No effusion.", ["No", "effusion", "."]),
        (
            "left/right: 2.5cm (small)",
            ["left", "/", "right", ":", "2", ".", "5cm", "(", "small", ")"],
        ),
        ("well-aerated; follow-up?", ["well-aerated;", "follow-up", "?"]),
        ("two\nlines  here", ["two", "lines", "here"]),
        ("...", [".", ".", "."]),
        (" \n", []),
    ],
)
def test_the_first_radgraph_sets_some_marks_apart(report, words):
    assert SPLITS["radgraph"](report) == words


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("No effusion.", ["No", "effusion", "."]),
        ("well-aerated; 2.5cm", ["well", "-", "aerated", ";", "2", ".", "5cm"]),
        ("(50%).", ["(", "50", "%", ")", "."]),
        ("was seen...", ["was", "seen", "..."]),
        ("a\\nb \\u2122 c\nd", ["a", "b", "c", "d"]),
        ('said \\"clear', ["said", "``", "clear"]),
        ("", []),
    ],
)
def test_radgraph_xl_parts_words_from_all_else(report, words):
    assert SPLITS["radgraph-xl"](report) == words


def test_the_model_reads_a_mark_for_a_slash_and_a_mark():
    assert [as_read(word) for word in ("/.", "/?", "/", "a/.")] == [".", "?", "/", "a/."]
