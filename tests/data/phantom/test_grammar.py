"""Reports: what is written can be read back, and what others write can be read too."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from chexjax.data.phantom import grammar
from chexjax.data.phantom.findings import KINDS, LUNG_KINDS, Finding
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.reading import Reading, read
from chexjax.data.phantom.scene import sample_scene

EFFUSION = Finding(kind="effusion", side="left", severity="mild")


def report_of(seed: int) -> tuple[Content, str]:
    rng = np.random.default_rng(seed)
    content = grammar.plan(sample_scene(3, seed).findings, rng, prior=0.4)
    return content, grammar.write(content, rng)


REPORTS = [report_of(seed) for seed in range(1500)]


def stated(reading: Reading, text: str) -> list[tuple[Finding, str]]:
    return [(a.finding, text[slice(*a.span)]) for a in reading.affirmed]


def denied(text: str) -> set[str]:
    return {kind for d in read(text).denied for kind in d.kinds}


def test_everything_written_is_read_back() -> None:
    for content, text in REPORTS:
        reading = read(text)
        assert set(reading.findings) == set(content.findings), text
        assert {frozenset(d.kinds) for d in reading.denied} == set(map(frozenset, content.denied))
        changes = [c.change for c in reading.compared]
        assert changes == ([content.comparison] if content.comparison else []), text
        assert not reading.conflicts and not reading.unread, text


def test_every_phrasing_of_every_finding_is_read_back() -> None:
    for kind, table in KINDS.items():
        phrasings = set()
        for seed in range(100):
            rng = np.random.default_rng(seed)
            finding = Finding(
                kind=kind,
                side=str(rng.choice(table.sides)) if table.sides else None,
                severity=str(rng.choice(table.severities)) if table.severities else None,
                zone=str(rng.choice(table.zones)) if table.zones else None,
            )
            text = grammar.write(Content(findings=(finding,)), rng)
            assert read(text).findings == (finding,), text
            phrasings.add(text)
        assert len(phrasings) >= 3, kind


def test_spans_point_at_the_words() -> None:
    for content, text in REPORTS[:300]:
        reading = read(text)
        for affirmed in reading.affirmed:
            words = text[slice(*affirmed.span)].lower()
            for part in (affirmed.finding.side, affirmed.finding.zone):
                assert part is None or part in words or "both" in words
        for statements in (reading.affirmed, reading.denied, reading.compared):
            for words in (text[slice(*statement.span)] for statement in statements):
                assert words and words == words.strip()
        assert len(reading.denied) == len(content.denied)


def test_reports_speak_of_heart_lungs_and_pleura_more_often_than_not() -> None:
    regions = {
        "heart": {"cardiomegaly", "mediastinum"},
        "lungs": set(LUNG_KINDS),
        "pleura": {"effusion", "pneumothorax"},
    }
    for region, kinds in regions.items():
        spoken = [
            bool(kinds & ({f.kind for f in c.findings} | {k for d in c.denied for k in d}))
            for c, _ in REPORTS
        ]
        assert np.mean(spoken) > 0.6, region


def test_no_report_denies_what_it_states() -> None:
    for content, _ in REPORTS:
        kinds = [k for d in content.denied for k in d]
        assert not set(kinds) & {f.kind for f in content.findings}
        assert len(kinds) == len(set(kinds))


def test_reports_are_varied_but_their_words_are_few() -> None:
    texts = [text for _, text in REPORTS]
    assert len(set(texts)) > 0.8 * len(texts)
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    assert 100 < len(words) < 250
    lengths = [len(text.split()) for text in texts]
    assert 20 < np.median(lengths) < 40 and max(lengths) < 80


def test_the_share_of_comparisons_is_the_one_asked_for() -> None:
    assert 0.36 < np.mean([c.comparison is not None for c, _ in REPORTS]) < 0.44
    rng = np.random.default_rng(0)
    assert all(grammar.plan((EFFUSION,), rng).comparison is None for _ in range(50))


def test_comparisons_mostly_open_a_report() -> None:
    compared = [text for content, text in REPORTS if content.comparison is not None]
    opening = [text.startswith("Compared with the prior study") for text in compared]
    assert 0.85 < np.mean(opening) < 0.95


def test_indications_hint_but_seldom() -> None:
    rng = np.random.default_rng(0)
    content = Content(findings=(Finding(kind="pacemaker", side="left"),))
    asked = [grammar.indication(content, rng) for _ in range(1000)]
    assert 0.25 < asked.count("Arrhythmia.") / 1000 < 0.35
    assert asked.count("None") > 50
    assert "Arrhythmia." not in [grammar.indication(Content(findings=()), rng) for _ in range(200)]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("SMALL LEFT\n  pleural  EFFUSION", EFFUSION),
        ("On the left, a small effusion is seen", EFFUSION),
        ("Trace effusion on the left without pneumothorax.", EFFUSION),
        ("No pneumothorax, but there is a slight left effusion.", EFFUSION),
        ("The heart is normal and there is a tiny left effusion", EFFUSION),
        ("There is a left effusion. The effusion is small.", EFFUSION),
        ("Effusion.", Finding(kind="effusion")),
        ("Moderately enlarged heart.", Finding(kind="cardiomegaly", severity="moderate")),
        ("Left apical nodule", Finding(kind="lesion", side="left", severity="mild", zone="upper")),
        ("Rib fractures, right", Finding(kind="fracture", side="right")),
        ("Pulmonary oedema, severe", Finding(kind="edema", severity="severe")),
    ],
)
def test_text_that_the_grammar_never_writes(text: str, finding: Finding) -> None:
    assert read(text).findings == (finding,)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("No evidence of consolidation, effusion, or pneumothorax.",
         {"consolidation", "effusion", "pneumothorax"}),
        ("Lungs and pleural spaces are clear", {*LUNG_KINDS, "effusion", "pneumothorax"}),
        ("The lungs are clear of consolidation.", {"consolidation"}),
        ("Heart not enlarged", {"cardiomegaly"}),
        ("Small left effusion. The lungs are otherwise clear.", set(LUNG_KINDS)),
        ("Left upper zone nodule. The remaining lungs are clear.", set(LUNG_KINDS) - {"lesion"}),
    ],
)  # fmt: skip
def test_statements_of_absence(text: str, kinds: set[str]) -> None:
    assert denied(text) == kinds


def test_what_one_no_reaches_is_one_statement_and_normals_are_their_own() -> None:
    text = "Heart is normal and the lungs are clear, without effusion or pneumothorax."
    spans = {d.kinds: text[slice(*d.span)] for d in read(text).denied}
    assert spans == {
        ("cardiomegaly",): "Heart is normal",
        LUNG_KINDS: "and the lungs are clear",
        ("effusion", "pneumothorax"): "without effusion or pneumothorax.",
    }


def test_the_first_statement_wins_and_repetition_counts_once() -> None:
    text = "There is a small left effusion. There is a small left effusion. No pleural effusion."
    reading = read(text)
    assert stated(reading, text) == [(EFFUSION, "There is a small left effusion.")]
    assert not reading.denied and not reading.conflicts
    other_side = read("Small left effusion. Small right effusion. Small right effusion.")
    assert other_side.findings == (EFFUSION,)
    assert [c.finding.side for c in other_side.conflicts] == ["right"]
    denied_first = read("No effusion. Small left effusion.")
    assert denied_first.findings == ()
    assert [c.finding for c in denied_first.conflicts] == [EFFUSION]


def test_a_finding_first_named_in_a_comparison_is_marked_where_it_is_described() -> None:
    text = "The effusion is worse since the prior study. Small left pleural effusion."
    reading = read(text)
    assert stated(reading, text) == [(EFFUSION, "Small left pleural effusion.")]
    assert [c.change for c in reading.compared] == ["worse"]


def test_increased_without_a_prior_is_no_comparison() -> None:
    assert read("Increased haze. Stable nodule.").compared[0].change == "unchanged"
    assert len(read("Increased haze. Stable nodule.").compared) == 1


def test_text_that_says_nothing_is_listed_as_unread() -> None:
    text = "Bananas are 7.5 cm long. The lungs are clear. What else?"
    assert [text[slice(*s)] for s in read(text).unread] == [
        "Bananas are 7.5 cm long.",
        "What else?",
    ]
    assert read("") == Reading(affirmed=(), denied=(), compared=(), conflicts=(), unread=())


def test_reading_is_quick_even_on_endless_text() -> None:
    start = time.thread_time()
    for _, text in REPORTS[:500]:
        read(text)
    read("no effusion no no left and " * 4000)
    assert time.thread_time() - start < 3
