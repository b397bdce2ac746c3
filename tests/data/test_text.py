"""What is taken out of a report, what is left as it is, and what is no report at all."""

import pytest

from chexjax.data.sections import sections
from chexjax.data.study import UnusableStudy
from chexjax.data.text import (
    TextRules,
    clean,
    decode,
    plain_findings,
    plain_places,
    squeeze,
)

NONE = TextRules(drop_prior=False, drop_again=False, drop_new=False, drop_lone_stops=False)


def cleaned(findings, rules=TextRules(), **others):  # noqa: B008 - frozen
    return clean({"findings": findings, **others}, rules)


@pytest.mark.parametrize(
    "sentence",
    [
        "The effusion is smaller than on the prior film.",
        "PREVIOUS granuloma.",
        "The tube has been removed.",
        "Seen on the earlier study.",
        "No recurrence.",
        "Redemonstrated opacity.",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sentence_about_an_earlier_examination_goes_and_its_neighbours_stay(sentence, place):
    others = ["The heart is large.", "The lungs are clear."]
    report = " ".join([*others[:place], sentence, *others[place:]])
    found = cleaned(report)
    assert found.findings == "The heart is large. The lungs are clear."
    assert found.edits == {"drop_prior": 1, "missing_indication": 1}
    assert cleaned(report, NONE).findings == report


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("Again seen is edema.", "Again seen is edema.", {}),  # the published rule looks at case
        ("Edema is again seen again.", "Edema is seen.", {"drop_again": 2}),
        ("There is again edema.", "There is edema.", {"drop_again": 1}),
        ("A lead rests against the wall.", "A lead rests against the wall.", {}),
        ("There is a new nodule.", "There is a nodule.", {"drop_new": 1}),
        ("The nodule is new.", "The nodule is present.", {"drop_new": 1}),
        ("No newly seen nodule, renewal.", "No newly seen nodule, renewal.", {}),
        ("A new, large mass.", "A new, large mass.", {}),
    ],
)
def test_again_and_new_are_edited_as_words(before, after, edits):
    found = cleaned(before, indication="Cough.")
    assert (found.findings, found.edits) == (after, edits)
    assert cleaned(before, NONE).findings == before


@pytest.mark.parametrize(
    ("before", "after", "times"),
    [
        ("Clear. .", "Clear.", 1),
        ("Clear .", "Clear.", 1),
        (". Clear. . . No mass! . It is 5 . 3", "Clear. No mass! It is 5. 3", 5),
        ("Clear... Is it .5 cm? Yes.. ", "Clear... Is it .5 cm? Yes..", 0),
    ],
)
def test_a_full_stop_alone_ends_no_sentence_twice(before, after, times):
    found = clean({name: before for name in ("findings", "impression", "indication")}, TextRules())
    assert found.findings == found.impression == found.indication == after
    assert found.edits == ({"drop_lone_stops": 3 * times} if times else {})
    kept = clean({"findings": before}, TextRules(drop_lone_stops=False))
    assert kept.findings == before.strip()


def test_a_report_of_a_full_stop_is_none():
    with pytest.raises(UnusableStudy, match="it has no findings"):
        cleaned(". .")


def test_each_rule_can_be_switched_off_alone():
    report = "Again a new mass. The mass is again new. . As in the prior study."
    only = {
        "drop_prior": "Again a new mass. The mass is again new. .",
        "drop_again": "Again a new mass. The mass is new. . As in the prior study.",
        "drop_new": "Again a mass. The mass is again present. . As in the prior study.",
        "drop_lone_stops": "Again a new mass. The mass is again new. As in the prior study.",
    }
    for rule, expected in only.items():
        rules = TextRules(**{name: name == rule for name in only})
        assert cleaned(report, rules).findings == expected


def test_a_missing_indication_has_a_stand_in_and_only_then():
    assert cleaned("Clear.", indication=" \n ").indication == "None"
    assert cleaned("Clear.", TextRules(missing_indication="")).indication == ""
    found = cleaned("Clear.", indication="Chest\n  pain")
    assert (found.indication, found.edits) == ("Chest pain", {})


@pytest.mark.parametrize("findings", ["", " \r\n\t", "\ufeff\u200b"])
def test_a_report_without_findings_is_refused(findings):
    with pytest.raises(UnusableStudy, match="it has no findings"):
        cleaned(findings, impression="Normal.")


def test_a_report_of_which_nothing_is_left_is_refused_and_says_so():
    with pytest.raises(
        UnusableStudy, match="its findings section is about an earlier examination alone"
    ):
        cleaned("Unchanged since the prior study.")


@pytest.mark.parametrize("section", ["findings", "impression"])
def test_a_report_of_ten_thousand_words_is_refused_with_the_count(section):
    texts = {"findings": "Clear.", section: "word " * 10_000}
    with pytest.raises(UnusableStudy, match=f"its {section} have more words .*: 10,000 words"):
        clean(texts, TextRules())
    assert clean(texts, TextRules(max_words=10_000))


def test_the_impression_is_kept_as_it_was_said():
    assert cleaned("Clear.", impression="New\nsince prior.").impression == "New since prior."


def test_white_space_of_every_kind_is_one_blank():
    assert (
        squeeze("\ufeffThe\u00a0heart\r\n is\tno\u00adr\u200bmal.\x00 ") == "The heart is normal."
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_reports_of_mixed_encodings_are_read(encoding):
    text = "37.5° – “no œdema”"
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"caf\x81"])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(UnusableStudy, match="neither UTF-8 nor UTF-16 nor Windows-1252"):
        decode(data)


REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 HISTORY:  ___F with cough.
   Fever: 38.2

 TECHNIQUE:  Two views.

 COMPARISON:  None.

 Findings:

 The heart is large. Ratio: 0.6.

 A line ends in the atrium.

 IMPRESSION:

 1. Cardiomegaly.
 2. No edema.

 NOTIFICATION:  None made.
"""


def test_sections_of_a_free_text_report():
    assert {name: squeeze(text) for name, text in sections(REPORT).items()} == {
        "indication": "___F with cough. Fever: 38.2",
        "comparison": "None.",
        "findings": "The heart is large. Ratio: 0.6. A line ends in the atrium.",
        "impression": "1. Cardiomegaly. 2. No edema.",
    }


def test_of_two_sections_of_a_name_the_first_that_says_something_counts():
    report = "FINDINGS:\n\nIMPRESSION: One.\nADDENDUM: Later.\nFINDINGS: Two.\nIMPRESSION: Three."
    assert sections(report) == {"impression": "One.", "findings": "Two."}


def test_a_text_without_headings_has_no_sections():
    assert sections("The findings: are normal, as is the impression: of it.") == {}
    assert sections("") == {}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("**Lungs:** [Breathing]\n Clear  lungs.", "lungs: clear lungs."),
        ("a[b] [c] d", "a d"),
        ("[unclosed A", "[unclosed a"),
        ("\tİn\u00a0B ", "i\u0307n b"),
        (" [Lungs] ** ", ""),
    ],
)
def test_findings_are_compared_without_marks_and_case(text, plain):
    assert plain_findings(text) == plain
    places = plain_places(text)
    assert len(places) == len(plain) and places == sorted(places)
    for place, character in zip(places, plain, strict=True):
        assert character in text[place].lower() or (character == " " and text[place].isspace())


def test_a_report_of_tags_alone_is_rejected():
    with pytest.raises(UnusableStudy, match="tags alone"):
        cleaned("[Lungs] **")
