"""Results of readers: counted by hand, effects that were put in are found, faults are named."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from chexjax.evaluate.readers.report import write
from chexjax.evaluate.readers.results import analyse
from chexjax.evaluate.readers.study import ReaderKey, Shown

COLUMNS = ("preference", "errors_A", "errors_B", "comment")
FIELDS = ("page", "reader", "case", *COLUMNS, "seconds", "edits", "answered")


def key_of(words: list[tuple[int, int]], repeats: Mapping[int, int] = {}) -> ReaderKey:
    """A key whose systems change sides from case to case; words of (old, new) for each."""
    cases = {
        f"c{k:03d}": Shown(
            study=f"s{repeats.get(k, k)}",
            a=("old", "new")[k % 2],
            words={"old": old, "new": new},
            repeats=f"c{repeats[k]:03d}" if k in repeats else "",
        )
        for k, (old, new) in enumerate(words)
    }
    return ReaderKey(page="p1", systems=("old", "new"), cases=cases, identical=["x"], seed=0)


def row(reader: str, k: int, prefers: str, **more: object) -> dict[str, object]:
    """An answer in terms of systems, as the page saves it in terms of sides."""
    side = "tie" if prefers == "tie" else "A" if prefers == ("old", "new")[k % 2] else "B"
    own = {"page": "p1", "reader": reader, "case": f"c{k:03d}", "preference": side}
    blank = {"errors_A": "", "errors_B": "", "comment": ""}
    return {**own, **blank, "seconds": 30, "edits": 0, "answered": f"2026-01-01T00:00:{k}Z", **more}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(rows: list[dict[str, object]], name: str = "a.csv", delimiter: str = ",") -> Path:
        with (tmp_path / name).open("w", newline="", encoding="utf-8-sig") as file:
            table = csv.DictWriter(file, FIELDS, delimiter=delimiter)
            table.writeheader()
            table.writerows(rows)
        return tmp_path / name

    return save


def test_wins_ties_losses_and_the_sign_test_by_hand(saved: Callable[..., Path]) -> None:
    said = ["new"] * 8 + ["old"] * 2 + ["tie"] * 2
    results = analyse(
        key_of([(20, 20)] * 12), [saved([row("R", k, s) for k, s in enumerate(said)])]
    )
    one = results.readers["R"]
    assert (one.wins, one.ties, one.losses) == (8, 2, 2)
    assert one.rate.mean == pytest.approx(9 / 12) and one.decided.mean == pytest.approx(0.8)
    # Two-sided: 2 (1 + 10 + 45) / 1024.
    assert one.p == pytest.approx(0.109375)
    assert results.overall.p == one.p and one.rate.low < 0.75 < one.rate.high
    # New stands on side A in odd cases: 4 wins there, and the one loss of an even case.
    assert results.left[:2] == (5, 10)


def test_several_readers_have_one_vote_a_case_and_agree_as_they_do(
    saved: Callable[..., Path],
) -> None:
    first = ["new"] * 6 + ["old"] * 4
    second = ["new"] * 4 + ["old"] * 6
    files = [
        saved([row(name, k, s) for k, s in enumerate(said)], f"{name}.csv", delimiter)
        for name, said, delimiter in (("R1", first, ","), ("R2", second, ";"))
    ]
    results = analyse(key_of([(20, 25)] * 10), files)
    assert results.overall.wins == 10 and results.overall.rate.mean == 0.5
    # Four cases for new, four for old, two split: no vote.
    assert results.overall.p == 1.0
    # 8 of 10 equal; by chance 0.6 x 0.4 + 0.4 x 0.6 = 0.48.
    assert results.agreement.pairs == {"R1 and R2": pytest.approx((0.8 - 0.48) / 0.52)}
    single = results.readers["R1"].rate
    assert single.mean == 0.6


def test_readers_who_like_short_reports_are_found_out(saved: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    words = [(50, 50 + int(d)) for d in rng.integers(-30, 60, 400)]
    # At equal length new wins 62 % of the time; ten more words cost it 0.4 in log-odds.
    odds = 0.5 - 0.04 * np.array([new - old for old, new in words])
    wins = rng.random(400) < 1 / (1 + np.exp(-odds))
    rows = [row("R", k, "new" if win else "old") for k, win in enumerate(wins)]
    found = analyse(key_of(words), [saved(rows)]).length
    assert found.effect.low < -0.4 < found.effect.high < -0.2
    assert found.equal.low < 0.622 < found.equal.high
    assert found.longer.high < 0.5


def test_wins_that_follow_length_alone_give_finite_numbers(saved: Callable[..., Path]) -> None:
    words = [(50, 40 if k % 2 else 60) for k in range(20)]
    rows = [row("R", k, "old" if k % 2 else "new") for k in range(20)]
    found = analyse(key_of(words), [saved(rows)]).length
    assert found.longer.mean == 1 and 1 < found.effect.mean < 20
    assert found.equal.mean == pytest.approx(0.5, abs=0.01)


def test_a_reader_is_compared_with_himself(saved: Callable[..., Path]) -> None:
    key = key_of([(20, 20)] * 8, {5: 0, 6: 1, 7: 2})
    said = ["new", "old", "tie", "new", "new", "new", "old", "old"]
    results = analyse(key, [saved([row("R", k, s) for k, s in enumerate(said)])])
    count, same, _ = results.agreement.again["R"]
    assert (count, same) == (3, pytest.approx(2 / 3))
    assert results.cases == 5 and results.readers["R"].wins == 3  # first showings only


def test_errors_go_to_the_system_on_that_side(saved: Callable[..., Path]) -> None:
    rows = [
        row("R", 0, "new", errors_A="a;b"),  # old is on side A
        row("R", 1, "new", errors_B="a", errors_A="f"),  # old is on side B
    ]
    found = analyse(key_of([(20, 20)] * 2), [saved(rows)]).errors
    assert [found["old"][kind].mean for kind in "abcdef"] == [1, 0.5, 0, 0, 0, 0]
    assert [found["new"][kind].mean for kind in "abcdef"] == [0, 0, 0, 0, 0, 0.5]


def test_what_is_amiss_is_named_and_the_rest_counts(saved: Callable[..., Path]) -> None:
    late = "2026-02-01T00:00:00Z"
    files = [
        saved([row("R", 0, "new"), row("R", 1, "new"), row("R", 9, "new")]),
        saved([row("R", 0, "new"), row("R", 1, "old", answered=late)], "b.csv"),
        saved([row("Q", 0, "new", preference="maybe"), row("Q", 1, "tie")], "c.csv"),
    ]
    results = analyse(key_of([(20, 20)] * 3), files)
    assert results.readers["R"].wins == 1 and results.readers["R"].losses == 1
    assert results.amiss == [
        "a.csv, line 4: the key has no case 'c009'; left out",
        f"reader R answered c001 twice, differently; the answer of {late} counts, that of "
        "2026-01-01T00:00:1Z does not",
        "c.csv, line 2: preference='maybe'; left out",
        "reader Q left 2 of 3 cases unanswered: c000, c002",
        "reader R left 1 of 3 cases unanswered: c002",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"page": "p2"}, "to page 'p2', but the key is that of page 'p1'"),
        ({"seconds": "fast"}, "seconds='fast'"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(
    change: dict[str, object], message: str, saved: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match=message):
        analyse(key_of([(20, 20)]), [saved([row("R", 0, "new", **change)])])


def test_another_csv_is_refused_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reader,case\nR,c000\n")
    with pytest.raises(ValueError, match="no column page, seconds, edits, answered, preference"):
        analyse(key_of([(20, 20)]), [tmp_path / "a.csv"])


def test_the_page_of_results_escapes_what_readers_are_called(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    name = "<script>alert(1)</script>"
    write(analyse(key_of([(20, 20)] * 2), [saved([row(name, 0, "new")])]), tmp_path)
    assert "<script" not in (tmp_path / "results.html").read_text()
    assert name in (tmp_path / "results.json").read_text()
