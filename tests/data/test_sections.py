"""Sections of free-text reports as hospitals write them."""

import pytest

from chexjax.data.sections import last_paragraph, sections


def test_headings_in_any_case_and_unknown_ones_in_capitals():
    report = """Indication: cough
TECHNIQUE: PA and lateral
Findings: Clear: no
effusion.
NOTIFICATION: told at 5:04 pm
Impressions: Normal."""
    assert sections(report) == {
        "indication": "cough",
        "findings": "Clear: no\neffusion.",
        "impression": "Normal.",
    }


def test_headings_alone_on_their_line():
    report = "HISTORY\r\n cough\r\n\r\nFINDINGS\r\n  Clear.\r\nIMPRESSION\r\nNormal.\r\n"
    assert sections(report) == {
        "indication": "cough",
        "findings": "Clear.",
        "impression": "Normal.",
    }
    assert sections("FINDINGS: The\nIMPRESSION of a rib.\n")["findings"].endswith("of a rib.")


def test_a_first_reading_counts_only_without_a_final_one():
    wet = "WET READ: ___ 7:52 AM\nIMPRESSION: Edema.\n"
    final = "        FINAL REPORT\n FINDINGS: Clear.\n"
    assert sections(wet + final) == {"findings": "Clear."}
    assert sections(wet + "FINAL REPORT\n\nNothing added.") == {
        "impression": "Edema.\nFINAL REPORT\n\nNothing added."
    }


def test_of_an_addendum_the_first_words_stay():
    report = "FINDINGS: Clear.\nIMPRESSION: Normal.\n ADDENDUM: ...\nIMPRESSION: A nodule."
    assert sections(report)["impression"] == "Normal."


@pytest.mark.parametrize(
    ("heading", "taken"),
    [
        ("PORTABLE CHEST", True),
        ("AP CHEST, 5", True),
        ("PA AND LATERAL VIEWS OF THE CHEST ON ___", True),
        ("EXAMINATION OF THE CHEST", False),
        ("TECHNIQUE, CHEST", False),
        ("RECOMMENDATION(S)", False),
    ],
)
def test_findings_stand_under_the_name_of_the_examination(heading, taken):
    body = "The lungs are clear and the heart is not enlarged."
    found = sections(f"INDICATION: cough\n\n{heading}: {body}\n\nIMPRESSION: Normal.")
    assert found.get("findings") == (body if taken else None)
    assert sections(f"{heading}: {body}\nFINDINGS: Edema.")["findings"] == "Edema."


def test_a_date_under_the_name_of_the_examination_is_no_finding():
    report = "RADIOGRAPHIC EXAM OF THE CHEST: 10/2/2001\nIMPRESSION: Normal."
    assert sections(report) == {"impression": "Normal."}


def test_the_last_paragraph():
    assert last_paragraph("CHEST\n\nSeen.\n \n The lungs\n are clear.\n\n") == (
        "The lungs\n are clear."
    )
    assert last_paragraph("") == ""
