"""The drafting study: balanced, timed until a report is finished; planted effects are found."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from chexjax.evaluate.readers.drafting import (
    PAGE,
    Drafted,
    DraftingConfig,
    DraftingKey,
    assign,
    write_study,
)
from chexjax.evaluate.readers.drafting_report import write
from chexjax.evaluate.readers.drafting_results import analyse, edit_distance, words
from chexjax.evaluate.readers.key import KEY
from tests.evaluate.browser import browser, needs_browser
from tests.evaluate.reading import read_study

FIELDS = ("page", "reader", "case", "report", "finished", "seconds", "edits", "answered")
EVIL = "\"></textarea><script>document.title='broken'</script>"


@pytest.mark.parametrize(("cases", "readers"), [(40, 4), (7, 3), (2, 1)])
def test_drafts_are_balanced_by_reader_time_and_case(cases: int, readers: int) -> None:
    given = assign(cases, readers, 0)
    assert given.shape == (cases, readers)
    whole = given[: cases // 2 * 2].reshape(-1, 2, readers)
    assert (whole.sum(1) == 1).all()  # one of each two neighbouring cases
    pairs = given[:, : readers // 2 * 2].reshape(cases, -1, 2)
    assert (pairs.sum(2) == 1).all()  # one of each two neighbouring readers
    assert (assign(cases, readers, 0) == given).all()
    assert any((assign(cases, readers, seed) != given).any() for seed in range(1, 9))


def test_edit_distance_counts_words_and_marks() -> None:
    one = words("No effusion. Heart is normal.")
    assert one == ["No", "effusion", ".", "Heart", "is", "normal", "."]
    assert edit_distance(one, one) == 0
    assert edit_distance(one, words("Small effusion. Heart is normal")) == 2
    assert edit_distance([], one) == edit_distance(one, []) == 7
    assert edit_distance(list("kitten"), list("sitting")) == 3


def key_of(groups: Mapping[str, str], cases: int) -> DraftingKey:
    given = assign(cases, len(groups), 0)
    names = list(groups)
    shown = {
        f"c{k:03d}": Drafted(
            study=f"s{k}",
            draft="No effusion. Heart is normal.",
            readers=[name for name, has in zip(names, given[k], strict=True) if has],
        )
        for k in range(cases)
    }
    return DraftingKey(page="p1", system="aligned", readers=groups, cases=shown, seed=0)


def save(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS)
        table.writeheader()
        table.writerows(rows)
    return path


def row(reader: str, case: str, seconds: float, report: str) -> dict[str, object]:
    own = {"page": "p1", "reader": reader, "case": case, "report": report, "finished": "yes"}
    return {**own, "seconds": seconds, "edits": 1, "answered": "2026-01-01"}


def test_time_saved_by_hand(tmp_path: Path) -> None:
    key = key_of({"R1": "g", "R2": "g"}, 4)
    # R2 takes twice the time of R1; a draft takes 60 s and 120 s, nothing 100 s and 200 s.
    rows = []
    for reader, pace in (("R1", 1.0), ("R2", 2.0)):
        for case, one in key.cases.items():
            has = reader in one.readers
            report = one.draft if reader == "R1" else "No effusion. Heart is large."
            rows.append(row(reader, case, pace * (60 if has else 100), report))
    found = analyse(key, [save(tmp_path / "a.csv", rows)])
    assert list(found.groups) == ["All"] and found.amiss == []
    one = found.groups["All"]
    assert (one.readers, one.reports) == (2, (4, 4))
    assert (one.drafted.mean, one.blank.mean, one.saved.mean) == (90, 150, 60)
    assert one.share.mean == pytest.approx(0.4)
    # By the clock R2's drafts took longer than what R1 wrote from nothing; by their pace, not.
    assert one.faster.mean == 1.0
    assert (one.distance.mean, one.kept.mean) == (0.5, 0.5)
    assert (one.saved.low, one.saved.high) == (40, 80)  # as of either reader alone


def test_groups_are_told_apart_and_intervals_hold_what_was_put_in(tmp_path: Path) -> None:
    readers = {f"R{k}": "resident" if k < 6 else "attending" for k in range(12)}
    key = key_of(readers, 60)
    rng = np.random.default_rng(0)
    rows = []
    for name, group in readers.items():
        saved = 30 if group == "resident" else 0
        for case, one in key.cases.items():
            seconds = 120 + rng.normal(0, 25) - saved * (name in one.readers)
            rows.append(row(name, case, max(seconds, 1), "Text."))
    groups = analyse(key, [save(tmp_path / "a.csv", rows)]).groups
    assert list(groups) == ["All", "resident", "attending"]
    assert groups["resident"].saved.low > 15 and groups["resident"].saved.high < 45
    assert groups["attending"].saved.low < 0 < groups["attending"].saved.high
    assert groups["resident"].faster.low > 0.6


def test_readers_that_the_key_lacks_or_who_sent_nothing_are_named(tmp_path: Path) -> None:
    key = key_of({"R1": "g", "R2": "h"}, 2)
    rows = [row("R1", case, 10, "x") for case in key.cases] + [row("R9", "c000", 10, "x")]
    found = analyse(key, [save(tmp_path / "a.csv", rows)])
    assert found.amiss == [
        "reader R9 left 1 of 2 cases unanswered: c001",
        "the key has no reader 'R9'; left out",
        "no answer of reader R2",
    ]
    assert list(found.groups) == ["All", "g"]
    write(found, tmp_path)  # cases faster is not known of one reader: still a page
    assert "Reports from drafts of aligned" in (tmp_path / "results.html").read_text()


def written(folder: Path, drafts: Mapping[str, str], **fields: object) -> DraftingKey:
    studies = [read_study(name, indication=EVIL, findings="Clear.") for name in drafts]
    config = DraftingConfig(cases=2, side=64, **fields)  # type: ignore[arg-type]
    return write_study(studies, drafts, config, 0, folder)


def test_a_study_needs_drafts_and_readers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cases=2, but 1 studies have a draft"):
        written(tmp_path, {"s0": "Clear.", "s1": "  "})
    with pytest.raises(ValueError, match="readers is empty"):
        DraftingConfig(readers={})
    with pytest.raises(ValueError, match="'Dr A' is no name"):
        DraftingConfig(readers={"Dr A": "g"})


@needs_browser
def test_a_reader_gets_his_drafts_and_the_clock_stops_when_he_is_done(tmp_path: Path) -> None:
    key = written(tmp_path, {"s0": f"Draft {EVIL}", "s1": f"Draft {EVIL}"})
    assert DraftingKey.of(json.loads((tmp_path / KEY).read_text())) == key
    form = "document.querySelector('form:not([hidden])')"
    area, done = f"{form}.querySelector('textarea')", f"{form}.querySelector('[type=checkbox]')"
    with browser(tmp_path) as tab:
        tab.open(tmp_path / PAGE)
        select = "document.getElementById('reader')"
        tab.run(f"{select}.value = 'R1'; {select}.dispatchEvent(new Event('change'))")
        for case, one in key.cases.items():
            assert tab.run(f"{form}.dataset.case") == case
            assert tab.run(f"{area}.value") == (one.draft if "R1" in one.readers else "")
            tab.run(f"{area}.focus()")
            tab.write("Seen. ")
            tab.run(f"{done}.click()")
            assert tab.run(f"{area}.readOnly")
            tab.run("document.getElementById('next').click()")
        stored = f"JSON.parse(localStorage.getItem('chexjax {key.page} R1'))"
        seconds = tab.run(f"{stored}.c002.seconds")
        time.sleep(1.3)
        found = tab.run(stored)
        assert found["c002"]["seconds"] == seconds and found["c002"]["edits"] == 1
        assert tab.run("document.title") == "Write the findings"
        tab.run(f"{select}.value = 'R2'; {select}.dispatchEvent(new Event('change'))")
        first = key.cases["c001"]
        assert tab.run(f"{area}.value") == (first.draft if "R2" in first.readers else "")
        assert tab.run("document.getElementById('position').textContent").endswith("0 answered")
    assert "Seen. " in found["c001"]["values"]["report"]
