import importlib.util
import os
import sys

import pytest

from chexjax.judges.prompt import Prompt, official_prompt, read_prompt, shorten

TEXT = "Reference: {reference}\nCandidate: {candidate}\nErrors?"


def test_reports_stand_in_their_slots_and_nowhere_else():
    ask = Prompt.parse(TEXT, "a test")
    assert ask.preamble == "Reference: "
    assert ask("a", "b").text == "Reference: a\nCandidate: b\nErrors?"
    swapped = ask("{candidate}", "{reference}")
    assert swapped.text == "Reference: {candidate}\nCandidate: {reference}\nErrors?"
    assert ask("a", "b").shared == ask("a", "another").shared == "Reference: a\nCandidate: "


def test_300_words_of_a_report_are_kept():
    assert shorten(" one\n two\t") == "one two"
    assert shorten("") == ""
    assert shorten("word " * 301) == " ".join(["word"] * 300)


@pytest.mark.parametrize(
    "text",
    [
        "no slots",
        "{reference} alone",
        "{candidate} before {reference}",
        TEXT + "{candidate}",
        TEXT + "{reference}",
    ],
)
def test_a_text_without_each_slot_once_is_refused(text, tmp_path):
    file = tmp_path / "judge.txt"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"judge.txt: a judge's question has \{reference\}"):
        read_prompt(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.txt cannot be read as a judge's question"):
        read_prompt(tmp_path / "none.txt")


def fake(monkeypatch, folder, source):
    """A package `radeval` that must not be run."""
    module = folder / "radeval" / "metrics" / "green_score" / "utils.py"
    module.parent.mkdir(parents=True)
    (folder / "radeval" / "__init__.py").write_text("raise SystemError('was run')", "utf-8")
    module.write_text("raise SystemError('was run')\n" + source, "utf-8")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def make_prompt(a, b):\n  return f'{text1} {text2}'", "has another question"),
        ("def another(): pass", "has another question"),
        ("def make_prompt(", "cannot be read for GREEN's question"),
    ],
)
def test_a_changed_package_is_refused_and_not_run(source, message, monkeypatch, tmp_path):
    fake(monkeypatch, tmp_path, source)
    with pytest.raises(ValueError, match=message):
        official_prompt()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install --no-deps radeval==2\.2\.1"):
        official_prompt()


def test_the_official_question_is_read_without_running_its_package(monkeypatch):
    # Beside the environment and not in it, since radeval brings a package `tests` too.
    folder = os.environ.get("CHEXJAX_RADEVAL")
    if folder:
        monkeypatch.syspath_prepend(folder)
    elif importlib.util.find_spec("radeval") is None:
        pytest.skip(
            "no radeval: pip install --no-deps --target FOLDER radeval; CHEXJAX_RADEVAL=FOLDER"
        )
    ask = official_prompt()
    assert [len(part) for part in (ask.preamble, ask.between, ask.closing)] == [1111, 31, 702]
    assert "radeval" not in sys.modules
