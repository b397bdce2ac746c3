"""The sentences that reports are made of, and how they are kept apart."""

import numpy as np
import pytest

from chexjax.data.phantom import grammar
from chexjax.data.phantom.findings import Finding
from chexjax.data.phantom.grammar import Content
from chexjax.data.phantom.paraphrases import PARAPHRASES, SYNONYMS
from chexjax.data.phantom.phrases import GRADE_WORDS, LUNG_KINDS, PHANTOM
from chexjax.data.phantom.reading import read

LEARNT, EXAMINED = PHANTOM.split()


@pytest.mark.parametrize("book", [PARAPHRASES, EXAMINED], ids=["paraphrases", "examined"])
def test_a_finding_is_read_back_from_every_sentence(book):
    for name, templates in book.positive.items():
        kind = name.split()[0]
        side = "bilateral" if "bilateral" in name else "left"
        for template in templates:
            for severity, words in GRADE_WORDS.get(kind, {None: ("",)}).items():
                said = template.format(grade=words[0], side=side, zone="lower")
                reading = read(said + ".")
                (found,) = reading.findings
                assert (found.kind, found.severity) == (kind, severity), said
                assert found.side in (side, None), said
                assert not reading.denied and not reading.compared, said


@pytest.mark.parametrize("book", [PARAPHRASES, EXAMINED], ids=["paraphrases", "examined"])
def test_absence_and_change_are_read_back_from_every_sentence(book):
    for kinds, templates in book.negative.items():
        for said in templates:
            reading = read(said + ".")
            assert sorted(k for d in reading.denied for k in d.kinds) == sorted(kinds), said
            assert not reading.findings, said
    for said in book.otherwise:
        assert [d.kinds for d in read(said + ".").denied] == [LUNG_KINDS], said
    for table in (book.opening, book.closing):
        for change, templates in table.items():
            for said in templates:
                reading = read(said.format(thing="the findings are") + ".")
                assert [c.change for c in reading.compared] == [change], said
                assert not reading.findings and not reading.denied, said


def test_what_is_learnt_and_what_is_examined_share_lone_sentences_only():
    lone = {
        sentences[0]
        for table in (PHANTOM.positive, PHANTOM.negative, PHANTOM.opening, PHANTOM.closing)
        for sentences in table.values()
        if len(sentences) == 1
    }
    assert LEARNT.templates() & EXAMINED.templates() == lone
    assert LEARNT.templates() | EXAMINED.templates() == PHANTOM.templates()
    assert not PARAPHRASES.templates() & PHANTOM.templates()


def test_joined_books_have_the_sentences_of_both():
    joined = LEARNT.joined(PARAPHRASES)
    assert joined.templates() == LEARNT.templates() | PARAPHRASES.templates()


def test_reports_are_written_from_the_book_that_is_given():
    content = Content(findings=(Finding(kind="effusion", side="left", severity="mild"),))
    said = {grammar.write(content, np.random.default_rng(k), EXAMINED) for k in range(8)}
    assert said == {"Small left pleural effusion is present."}


def test_synonyms_leave_what_is_read_as_it_is():
    for word, others in SYNONYMS.items():
        for noun in ("left effusion", "left zone consolidation"):
            before = read(f"{word} {noun}.").findings
            assert all(read(f"{other} {noun}.").findings == before for other in others), word
