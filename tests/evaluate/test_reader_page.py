"""The readers' page in a real browser: keyboard, answers that stay, time in front, the CSV."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from chexjax.data.study import Study
from chexjax.evaluate.readers.page import SCRIPT
from chexjax.evaluate.readers.results import analyse
from chexjax.evaluate.readers.study import PAGE, ReaderConfig, ReaderKey, write_study
from tests.evaluate.browser import browser, needs_browser
from tests.evaluate.reading import read_study

EVIL = (
    "<img src=x onerror=\"document.title='broken'\"></form><script>document.title='broken'</script>"
)
REPORTS = {
    "plain": {f"study-{k}": f"Report {k} of one system." for k in range(4)},
    "other": {f"study-{k}": f'{EVIL} No. {k}\nof the other, "quoted".' for k in range(4)},
}
CONFIG = ReaderConfig(systems=("plain", "other"), cases=3, repeated=1, reference=True, side=64)


def studies() -> list[Study]:
    """Four studies with a picture each; what is written about them would break careless markup."""
    return [read_study(f"study-{k}", indication=EVIL, findings=EVIL) for k in range(4)]


@pytest.fixture
def key(tmp_path: Path) -> ReaderKey:
    return write_study(studies(), REPORTS, CONFIG, 0, tmp_path)


def test_texts_are_escaped_and_nothing_is_loaded(key: ReaderKey, tmp_path: Path) -> None:
    page = (tmp_path / PAGE).read_text()
    assert page.count("<script>") == 1 and 'onerror="' not in page
    assert {m for m in re.findall(r'src="([^"]{0,22})', page)} == {"data:image/jpeg;base64"}
    assert "default-src 'none'" in page.replace("&#x27;", "'") and "http://" not in page


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_the_script_is_javascript() -> None:
    assert subprocess.run(["node", "--check", SCRIPT], check=False).returncode == 0


@needs_browser
def test_a_reader_answers_leaves_comes_back_and_saves(key: ReaderKey, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        tab.open(tmp_path / PAGE)
        assert tab.run("document.querySelectorAll('form:not([hidden])').length") in (0, 1)
        assert tab.run("document.getElementById('forms').hidden")
        name = "document.getElementById('reader')"
        tab.run(f"{name}.value = ' Dr A '; {name}.dispatchEvent(new Event('change'))")
        for pressed in ("b", "n", "t", "n", "a"):
            tab.press(pressed)
        tab.run("document.querySelector('form:not([hidden]) [name=errors_A][value=c]').click()")
        tab.run("document.querySelector('form:not([hidden]) [name=errors_A][value=f]').click()")
        tab.run("document.querySelector('form:not([hidden]) textarea').focus()")
        tab.write('ban, "not" a key\nof n')
        time.sleep(1.2)

        tab.open(tmp_path / PAGE)  # as after closing the window
        assert tab.run(f"{name}.value") == "Dr A"
        assert tab.run("document.getElementById('position').textContent") == (
            "Case 4 of 4 \u00b7 3 answered"
        )
        assert tab.run("document.title") == "Which report is better?"  # no text ran as a script
        tab.press("p")
        assert tab.run("document.querySelector('form:not([hidden]) [value=A]').checked")
        tab.run("document.getElementById('save').click()")
        file = tmp_path / f"answers-{key.page}-Dr_A.csv"
        end = time.monotonic() + 20
        while not file.exists() or not file.stat().st_size:
            assert time.monotonic() < end, "no download"
            time.sleep(0.05)

    rows = list(csv.DictReader(file.open(newline="")))
    assert [row["case"] for row in rows] == ["c001", "c002", "c003"]
    assert [row["preference"] for row in rows] == ["B", "tie", "A"]
    assert rows[2]["comment"] == 'ban, "not" a key\nof n' and rows[2]["errors_A"] == "c;f"
    assert all(row["reader"] == "Dr A" and row["page"] == key.page for row in rows)
    # The last case was in front while the test slept, the first for a moment only.
    assert float(rows[2]["seconds"]) >= 1.1 > float(rows[0]["seconds"])
    assert int(rows[0]["edits"]) == 0 and int(rows[2]["edits"]) >= 1
    results = analyse(key, [file])
    assert [results.readers["Dr A"].ties, results.cases] == [1, 3]
    assert results.amiss == ["reader Dr A left 1 of 4 cases unanswered: c004"]


@needs_browser
def test_time_stands_still_behind_another_window(key: ReaderKey, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        tab.open(tmp_path / PAGE)
        # As a browser has it while another window is in front.
        tab.run("document.hasFocus = () => false; window.dispatchEvent(new Event('blur'))")
        name = "document.getElementById('reader')"
        tab.run(f"{name}.value = 'R'; {name}.dispatchEvent(new Event('change'))")
        time.sleep(1.2)
        tab.press("a")
        stored = f"JSON.parse(localStorage.getItem('chexjax {key.page} R')).c001"
        assert tab.run(f"{stored}.values.preference") == "A"
        assert tab.run(f"{stored}.seconds") == 0
