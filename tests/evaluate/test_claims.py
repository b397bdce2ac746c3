"""Claims that were declared beforehand: how they are read, and what runs say to them."""

import math

import numpy as np
import pytest
import scipy.stats

from chexjax.config import ConfigError
from chexjax.evaluate import plots
from chexjax.evaluate.claims import (
    Claim,
    Column,
    Measured,
    Scale,
    answers,
    chance,
    estimate,
    paired,
    parse,
    parse_all,
    student,
    verdict,
)
from chexjax.evaluate.claims_table import Levels, headline, markdown, section
from chexjax.evaluate.significance import Interval

TEXT = "DPO gains: of=dpo minus=SFT measure=score expect=more margin=0.04"
T_OF_2 = 4.302653  # the 97.5 % quantile of Student's t with 2 degrees of freedom, from a table
GAINS = (0.098, 0.091, 0.074)  # of the quickstart's seeds, docs/quickstart.md


def test_a_claim_is_read_from_a_sentence_and_fields():
    claim = Claim(
        name="DPO gains", of="dpo", minus="SFT", measure="score", expect="more", margin=0.04
    )
    assert parse(TEXT) == claim
    assert parse(f"Of two: {TEXT}").name == "Of two: DPO gains"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("DPO gains:", ""), "is not of the form 'CLAIM: FIELD=VALUE'"),
        (("measure=", "mesure="), "'DPO gains': no field 'mesure'; did you mean measure?"),
        (("margin=0.04", ""), "'DPO gains': margin is missing; write margin=VALUE"),
        (("of=dpo", "of=dpo of=kto"), "'of=kto' is not one of=VALUE; write it once"),
        (("of=dpo", "of="), "'of=' is not one of=VALUE"),
        (("=more", "=mere"), "no expect='mere'; did you mean more?"),
        (("0.04", "0"), "margin=0 is no size above 0; give the smallest difference that matters"),
        (("0.04", "little"), "margin=little is no size above 0"),
    ],
)
def test_a_claim_that_cannot_be_read_is_named(change, message):
    with pytest.raises(ConfigError, match="config.sweep.claims") as error:
        parse(TEXT.replace(*change))
    assert message in str(error.value)


def test_claims_have_names_of_their_own():
    assert [claim.name for claim in parse_all([TEXT, f"Again, {TEXT}"])] == [
        "DPO gains",
        "Again, DPO gains",
    ]
    with pytest.raises(ConfigError, match="two are called 'DPO gains'; rename one"):
        parse_all([TEXT, TEXT])


@pytest.mark.parametrize(
    ("ends", "expect", "answer"),
    [
        ((0.01, 0.02), "more", "seen"),  # above zero, though it matters to nobody
        ((-0.01, 0.03), "more", "not seen"),
        ((-0.01, 0.05), "more", "can't tell"),
        ((-0.09, -0.01), "more", "not seen"),
        ((-0.02, -0.01), "less", "seen"),
        ((-0.03, 0.01), "less", "not seen"),
        ((-0.05, 0.01), "less", "can't tell"),
        ((0.01, 0.09), "less", "not seen"),
        ((-0.03, 0.03), "same", "seen"),
        ((0.01, 0.03), "same", "seen"),  # another, but by less than matters
        ((0.05, 0.09), "same", "not seen"),
        ((-0.09, -0.05), "same", "not seen"),
        ((-0.05, 0.03), "same", "can't tell"),
        ((math.nan, math.nan), "same", "can't tell"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(ends, expect, answer):
    found = Interval(sum(ends) / 2, *ends)
    assert verdict(found, expect, 0.04) == answer


def test_over_repetitions_the_interval_is_student_s_of_their_means():
    """By hand: mean 0.08767, standard deviation 0.01234, its share of three 0.00712."""
    gaps = [np.asarray([gain - 0.1, gain + 0.1]) for gain in GAINS]
    found = estimate(gaps, seed=0)
    half = T_OF_2 * 0.0123423 / math.sqrt(3)
    assert found.interval.mean == pytest.approx(0.0876667, abs=1e-6)
    assert found.half_width == pytest.approx(half, rel=1e-4)
    assert found.interval.low == pytest.approx(0.0876667 - half, abs=1e-6)
    assert found.spread == "Student's t over 3 repetitions, 2 degrees of freedom"
    for expect, null, side in (("more", 0.0, "greater"), ("less", 0.0, "less")):
        one_sided = scipy.stats.ttest_1samp(GAINS, null, alternative=side).pvalue
        assert chance(found, expect, 0.04) == pytest.approx(min(1, 2 * one_sided))
    above = scipy.stats.ttest_1samp(GAINS, 0.2, alternative="less").pvalue
    assert chance(found, "same", 0.2) == pytest.approx(2 * above)


@pytest.mark.parametrize("expect", ["more", "less", "same"])
def test_a_claim_is_seen_where_its_p_is_below_a_twentieth(expect):
    rng = np.random.default_rng(0)
    answered = set()
    for _ in range(200):
        gaps = [rng.normal(rng.uniform(-2, 2), 0.2, 1) for _ in range(3)]
        found = estimate(gaps, seed=0)
        seen = verdict(found.interval, expect, 1.5) == "seen"
        assert seen == (chance(found, expect, 1.5) < 0.05)
        answered.add(seen)
    assert answered == {True, False}


def test_one_run_alone_is_drawn_over_its_studies_and_says_so():
    rng = np.random.default_rng(1)
    gap = rng.normal(0.1, 0.3, 400)
    found = estimate([gap], seed=0)
    normal = 1.96 * gap.std() / 20
    assert found.half_width == pytest.approx(normal, rel=0.05)
    assert found.spread == "bootstrap over 400 studies of one run"
    assert chance(found, "more", 0.04) == pytest.approx(1e-4, rel=2)
    assert chance(found, "less", 0.04) == 1.0
    nothing = estimate([np.zeros(10)], seed=0)
    assert verdict(nothing.interval, "same", 0.01) == "seen"
    assert chance(nothing, "more", 0.01) == chance(nothing, "less", 0.01) == 1.0


def test_repetitions_that_agree_to_the_last_bit_have_no_spread():
    found = estimate([np.zeros(4), np.zeros(4)], seed=0)
    assert found.interval == Interval(0.0, 0.0, 0.0)
    assert [chance(found, one, 0.1) for one in ("more", "less", "same")] == [1.0, 1.0, 0.0]
    assert found.spread.endswith("1 degree of freedom")
    assert math.isnan(student(np.asarray([1.0])).low)


def test_policies_are_paired_study_by_study():
    of = Column(values={"a": 1.0, "b": 5.0, "c": math.nan, "d": 2.0})
    minus = Column(values={"d": 0.5, "c": 1.0, "a": 3.0})
    assert paired(of, minus).tolist() == [-2.0, 1.5]
    assert of.mean == pytest.approx(8 / 3)
    with pytest.raises(ValueError, match="no study on which both have a value"):
        paired(of, Column(values={"c": 1.0}))


def test_studies_of_the_same_name_with_other_references_are_not_paired():
    here, there = (Column(values={"a": 1.0}, texts={"a": text}) for text in ("heart", "lungs"))
    claim = Measured(claim=parse(TEXT), scale=Scale(unit="points"), of=[here], minus=[there])
    with pytest.raises(ConfigError, match="'DPO gains': .* on studies with other references"):
        answers([claim], seed=0)


def measured(gains, text=TEXT):
    """Two studies a seed, of which the baseline scores 0 and 1."""
    minus = [Column(values={"a": 0.0, "b": 1.0}) for _ in gains]
    of = [Column(values={"a": gain, "b": 1 + gain}) for gain in gains]
    return Measured(claim=parse(text), scale=Scale(unit="points"), of=of, minus=minus)


def test_claims_are_a_family():
    same = TEXT.replace("more", "same").replace("DPO gains", "Nothing changes")
    first, second, third = answers(
        [measured(GAINS), measured((0.001, 0.0, -0.001), same), measured((1, -1, 0.1))], seed=0
    )
    assert [one.verdict for one in (first, second, third)] == ["seen", "seen", "can't tell"]
    assert (first.of, first.minus) == (pytest.approx(0.5876667), 0.5)
    assert first.each == pytest.approx(GAINS) and first.studies == (2, 2, 2)
    assert second.p < first.p < third.p
    assert (second.holm, first.holm) == pytest.approx((3 * second.p, 2 * first.p))
    assert third.holm == third.p
    levels = Levels(
        scales={"words": Scale(unit="words a report", digits=1)},
        policies={"SFT": {"words": Interval(25.84, 20.0, 30.0)}},
    )
    text = markdown([first, second, third], levels)
    assert headline([first, second, third]) == "3 claims: 2 seen, 0 not seen, 1 can't tell"
    row = (
        "| DPO gains | seen | 0.088 (0.057 to 0.118) | more, 0.04 points | 0.031 | 0.013 "
        "| dpo \u2212 SFT, score |"
    )
    assert row in text
    assert "| 0.588 against 0.500 | +0.098, +0.091, +0.074 (2 studies) |" in text
    assert "| Policy | words (words a report) |" in text and "| SFT | 25.8 (20.0 to 30.0) |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {8, 5, 3}
    assert "Nothing changes" in section([first, second, third])


def test_the_picture_has_what_was_claimed_to_the_right_in_margins_of_each_claim():
    def drawn(gains, *changes):
        text = TEXT
        for change in changes:
            text = text.replace(*change)
        return plots.claims(answers([measured(gains, text)], seed=0))

    fewer, wider = ("expect=more", "expect=less"), ("margin=0.04", "margin=0.4")
    more = drawn(GAINS)
    assert ">DPO gains: seen<" in more and "aria-label" in more and "#0000" not in more
    assert drawn([-gain for gain in GAINS], fewer) == more
    assert drawn([10 * gain for gain in GAINS], wider) == more
    assert drawn([-gain for gain in GAINS]) != more
    assert drawn((1, 1, 1)) == drawn((2, 2, 2))  # at the edge
