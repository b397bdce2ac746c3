"""Answers of a GREEN judge. What they count is what green_score 0.0.12 counts of the same text."""

import pytest

from chexjax.judges import PhantomOracle, error_profile, parse_judgement
from chexjax.judges.answer import CATEGORIES, LABELS, is_decided, write_judgement
from chexjax.judges.profile import representative


def errors(*counts: str) -> str:
    """The lines of one section."""
    lines = zip(CATEGORIES, LABELS, counts, strict=False)
    return "\n".join(f"({c}) {label}: {count}" for c, label, count in lines)


NONE = errors(*["0."] * 6)
SIGNIFICANT = errors("1. Nodule.", "2. Edema; effusion.", "0.", "0.", "1. Compares.", "0.")


def answer(significant=SIGNIFICANT, insignificant=NONE, matched="4. Heart; lungs; bones; tubes."):
    return (
        f"[Explanation]:\nWhy.\n\n[Clinically Significant Errors]:\n{significant}\n\n"
        f"[Clinically Insignificant Errors]:\n{insignificant}\n\n[Matched Findings]:\n{matched}"
    )


def test_a_plain_answer():
    read = parse_judgement(
        answer(insignificant=errors("0.", "0.", "0.", "3. A; B; C.", "0.", "0."))
    )
    assert read.score == 4 / (4 + 4)
    assert read.details["matched"] == 4
    assert list(read.details["significant"].values()) == [1, 2, 0, 0, 1, 0]
    assert list(read.details["insignificant"].values()) == [0, 0, 0, 3, 0, 0]
    assert read.details["well_formed"]
    said = [(item["category"], item["text"]) for item in read.details["items"]]
    assert said == [
        *(("a", "Nodule"), ("b", "Edema"), ("b", "effusion"), ("e", "Compares")),
        *(("insignificant-d", letter) for letter in "ABC"),
        *(("matched", text) for text in ("Heart", "lungs", "bones", "tubes")),
    ]


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("(a) False: 2. x; y.", 2),
        ("(a) 2. x", 0),
        ("(a) False: 2 x", 0),
        ("(a) False: two. x", 0),
        ("(a) False: **2**. x", 0),
        ("(a) False: (2). x", 0),
        ("(a) False: -2. x", 0),
        ("(a) False: 2 . x", 0),
        ("(a) False:  2. x", 0),
        ("(a) False: 1.0.", 1),
        ("(a) False: 007.", 7),
        ("(a) False: " + "9" * 5000 + ".", 0),
        ("(A) False: 2.", 0),
        ("a) False: 2.", 0),
        ("(a)False: 2.", 0),
        ("(1) False: 2.", 2),
        ("so (a) False: 2.", 2),
        ("(a) False: 3.\n(a) False: 1.", 3),
        ("(a) False: 9.\n(a) False: 10.", 9),
        ("(a) False: 3.\n(a) False, unreadable", 3),
        ("(a) False: x: 2. (b) Missing: 5.", 2),
        ("No errors.\n(a) False: 2.", 0),
        ("Nodule seen.\n(a) False: 2.", 0),
        ("\n \n(a) False: 2.", 2),
        ("as follows\n\n(a) False: 2.", 0),
        ("as follows\n \t\n(a) False: 2.", 0),
    ],
)
def test_lines_are_counted_as_they_were_published(line, count):
    read = parse_judgement(answer(significant=line))
    assert sum(read.details["significant"].values()) == count
    assert read.score == 4 / (4 + count)
    assert not read.details["well_formed"]


@pytest.mark.parametrize(
    ("matched", "count"),
    [
        ("0.", 0),
        ("3. A; B; C", 3),
        ("1. A\n2. B", 1),
        ("A\n3. B", 0),
        ("3 A", 0),
        ("**3.** A", 0),
        ("None. 3.", 0),
        ("", 0),
    ],
)
def test_matches_are_counted_at_the_very_start(matched, count):
    read = parse_judgement(answer(matched=matched))
    assert read.details["matched"] == count
    assert read.score == (count / (count + 4) if count else 0)
    assert read.details["well_formed"] == matched.startswith(("0.", "3. ", "1."))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("", 0.0),
        (answer().partition("[Matched")[0], 0.0),
        ("[Matched Findings]:\n2. A; B.", 1.0),
        (answer().replace("[Clinically Significant", "[clinically significant"), 1.0),
        (answer(significant=""), 4 / 4),  # and those of the next section count, which are none
        (answer(significant="", insignificant=SIGNIFICANT), 4 / 8),
        (answer().replace("\n\n[Clinically Ins", "\n[Clinically Ins"), 4 / 8),
        (answer() + "\n\n[Matched Findings]:\n9. More.", 4 / 8),
    ],
    ids=["empty", "cut", "alone", "header", "void", "moved", "run on", "twice"],
)
def test_sections_are_found_as_they_were_published(text, score):
    assert parse_judgement(text).score == score


def test_the_prompt_and_its_format_in_front_of_an_answer_are_not_read():
    echo = "<|user|>\nWrite:\n" + answer(matched="9.") + "</s><|assistant|>\n"
    assert parse_judgement(echo + answer() + "</s>").score == 4 / 8
    form = "[Explanation]:\n    <Explanation>\n\n[Matched Findings]:\n7. A\n\n"
    assert parse_judgement(form + answer()).details["matched"] == 7  # as published


def test_an_answer_without_explanation_is_counted_and_not_well_formed():
    read = parse_judgement(answer().partition("Why.\n")[2])
    assert read.score == 4 / 8
    assert not read.details["well_formed"]


def test_an_item_that_holds_a_colon_is_cut_as_it_was_published():
    read = parse_judgement(answer(significant=errors("1. Seen: a nodule. There.", *["0."] * 5)))
    assert [x["text"] for x in read.details["items"] if x["category"] == "a"] == ["There"]


def test_what_is_written_is_read_back():
    reference = "Moderate left effusion. Mild cardiomegaly. No pneumothorax."
    candidate = "Severe right effusion. No pneumothorax. Cardiomegaly."
    [verdict] = PhantomOracle().judge([reference], [candidate])
    read = parse_judgement(write_judgement(verdict, "The side differs."))
    assert read.score == verdict.score
    assert read.details["well_formed"]
    for counts in ("matched", "significant", "insignificant"):
        assert read.details[counts] == verdict.details[counts]


def test_the_profile_counts_answers_that_could_be_read():
    three = [
        parse_judgement(answer(significant=NONE, matched="2. A; B.")),
        parse_judgement(answer()),
        parse_judgement(""),
    ]
    profile = error_profile([one.details for one in three])
    assert profile["reports"] == 2
    assert profile["matched"] == (2 + 4) / 2
    assert profile["free"] == {"a": 0.5, "b": 0.5, "c": 1, "d": 1, "e": 0.5, "f": 1}
    assert profile["significant"] == {"a": 0.5, "b": 1, "c": 0, "d": 0, "e": 0.5, "f": 0}
    assert set(profile["insignificant"].values()) == {0}
    assert profile["representative"] == {"a": "Nodule", "b": "Edema", "e": "Compares"}


def test_the_representative_error_is_the_one_most_like_the_others():
    texts = ["missing: small left effusion", "missing: mild edema", "missing: left effusion"] * 2
    assert representative([*texts, "another thing"]) == "missing: left effusion"
    assert representative(["pacemaker"] * 2 + ["mild  edema"] * 3) == "mild edema"
    assert representative(["", " "]) == representative([]) == ""


def test_a_score_is_decided_by_the_total_of_matches_and_not_before():
    reference = "Moderate left effusion. Mild cardiomegaly. No pneumothorax."
    for candidate in ("Moderate left effusion.", "Severe right effusion. Pacemaker.", ""):
        [verdict] = PhantomOracle().judge([reference], [candidate])
        text = write_judgement(verdict, "Matched: 3. One of them is [Matched Findings].")
        total = f"[Matched Findings]:\n{verdict.details['matched']}."
        decided = text.index(total) + len(total)
        assert [k for k in range(len(text) + 1) if is_decided(text[:k])] == [
            *range(decided, len(text) + 1)
        ]
        whole, cut = parse_judgement(text), parse_judgement(text[:decided])
        assert cut.score == whole.score and cut.details["well_formed"]
        for counts in ("matched", "significant", "insignificant"):
            assert cut.details[counts] == whole.details[counts]
