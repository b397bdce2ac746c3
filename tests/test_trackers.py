"""Progress, metrics and timings say what happened, also after a restart."""

from __future__ import annotations

import json
import math
import time
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from chexjax import trackers
from chexjax.artefacts import ArtefactError
from chexjax.trackers import JsonlTracker, Progress, StageClock, clock, progress


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that moves only when told to: `now[0] += 5`.

    It is the trackers' alone: threads of other tests may be waiting by the one of the process.
    """
    seconds = [100.0]
    monkeypatch.setattr(trackers, "time", types.SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


def test_progress_yields_everything_and_ends_with_a_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert list(progress("abc", 3, "sample", unit="units")) == ["a", "b", "c"]
    assert capfd.readouterr().err == "sample  3/3 units  100 %  took 0:00\n"


def test_plain_lines_come_every_five_seconds_with_the_time_left(
    now: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    with Progress(10, "sft", unit="steps") as shown:
        for step in range(10):
            now[0] += 2
            shown.advance(note=f"loss {9 - step}.5")
    assert capfd.readouterr().err.splitlines() == [
        "sft  3/10 steps  30 %  0:14 left  loss 7.5",
        "sft  6/10 steps  60 %  0:08 left  loss 4.5",
        "sft  9/10 steps  90 %  0:02 left  loss 1.5",
        "sft  10/10 steps  100 %  took 0:20  loss 0.5",
    ]


def test_time_left_is_not_fooled_by_what_an_earlier_attempt_did(
    now: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    with Progress(100, "sample", done=90) as shown:
        now[0] += 6
        shown.advance()
        assert capfd.readouterr().err == "sample  91/100 it  91 %  0:54 left\n"


def test_quiet_progress_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(2), 2, "sample", quiet=True)) == [0, 1]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trackers.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress(2, "judge", unit="units") as shown:
        shown.advance(2, note="loss 1.0")
    shown_text = capsys.readouterr().err
    assert "judge" in shown_text and "2/2 units" in shown_text and "loss 1.0" in shown_text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (41.4, "0:41"), (59.9, "1:00"), (3723, "1:02:03")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_metrics_come_back_as_logged(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "logs" / "metrics.jsonl")
    tracker.log(1, {"loss": jnp.float32(2.5)})
    tracker.log(2, {"loss": math.inf, "lr": 1e-3})
    first, second = JsonlTracker.read(tracker.path)
    assert first == {"step": 1, "loss": 2.5}
    assert math.isnan(second["loss"]) and second["lr"] == 1e-3
    assert json.loads(tracker.path.read_text().splitlines()[1])["loss"] is None  # strict JSON


def test_a_resumed_run_drops_later_steps_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker = JsonlTracker(path)
    for step in range(1, 6):
        tracker.log(step, {"loss": 1.0 / step})
    with open(path, "a") as file:
        file.write('{"step": 6, "lo')
    assert [row["step"] for row in JsonlTracker.read(path)] == [1, 2, 3, 4, 5]
    tracker = JsonlTracker(path)
    tracker.truncate(3)
    tracker.log(4, {"loss": 0.25})
    assert [row["step"] for row in JsonlTracker.read(path)] == [1, 2, 3, 4]


def test_a_stage_is_timed_and_the_record_kept(tmp_path: Path, now: list[float]) -> None:
    with StageClock(tmp_path).stage("sft") as timer:
        now[0] += 10
        timer.add("data_wait", 0.125)
        timer.add("data_wait", 0.125)
    timing = StageClock(tmp_path).timings["sft"]
    assert (timing.wall, timing.waits, timing.finished) == (10.0, {"data_wait": 0.25}, True)
    assert 10 < timing.peak_rss < 100_000  # MiB


def test_compilation_is_counted(tmp_path: Path) -> None:
    clock = StageClock(tmp_path)
    offset = time.time()  # a constant that no cache has seen
    with clock.stage("sft"):
        jax.jit(lambda x: jnp.sin(x) * offset)(1.0)
    with clock.stage("sample"):
        pass
    timing = clock.timings["sft"]
    assert 0 < timing.compile <= timing.wall
    assert clock.timings["sample"].compile == 0


def test_attempts_at_one_stage_add_up(tmp_path: Path, now: list[float]) -> None:
    with pytest.raises(KeyboardInterrupt), StageClock(tmp_path).stage("sft") as timer:
        now[0] += 10
        timer.add("data_wait", 1.0)
        raise KeyboardInterrupt
    assert not StageClock(tmp_path).timings["sft"].finished
    with StageClock(tmp_path).stage("sft") as timer:
        now[0] += 5
        timer.add("data_wait", 0.5)
    timing = StageClock(tmp_path).timings["sft"]
    assert (timing.wall, timing.waits, timing.finished) == (15.0, {"data_wait": 1.5}, True)


def test_a_killed_stage_leaves_what_it_had_noted(tmp_path: Path, now: list[float]) -> None:
    with StageClock(tmp_path).stage("sft") as timer:
        now[0] += 7
        timer.add("data_wait", 1.0)
        assert StageClock(tmp_path).timings["sft"].wall == 7.0  # what a kill here leaves


def test_a_stage_done_anew_replaces_its_finished_record(tmp_path: Path, now: list[float]) -> None:
    for _ in range(2):
        with StageClock(tmp_path).stage("sft"):
            now[0] += 10
    assert StageClock(tmp_path).timings["sft"].wall == 10.0


def test_a_stage_with_nothing_to_do_or_that_refuses_keeps_the_record(
    tmp_path: Path, now: list[float]
) -> None:
    clock = StageClock(tmp_path)
    with clock.stage("sft"):
        now[0] += 10
    with clock.stage("sft") as timer:
        timer.skip()
    with pytest.raises(ArtefactError), clock.stage("sft"):
        raise ArtefactError("foreign")
    assert StageClock(tmp_path).timings["sft"].wall == 10.0


def test_a_damaged_timings_file_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "timings.json").write_text('{"sft": ')
    with StageClock(tmp_path).stage("sample"):
        pass
    assert list(StageClock(tmp_path).timings) == ["sample"]


def test_the_table_has_every_stage_and_a_total(tmp_path: Path, now: list[float]) -> None:
    clock = StageClock(tmp_path)
    for name in ("sft", "sample"):
        with clock.stage(name) as timer:
            now[0] += 10
            timer.add("data_wait", 0.1)
    console = Console(width=100, record=True)
    with console.capture() as text:
        console.print(clock.table())
    lines = text.get()
    assert all(name in lines for name in ("sft", "sample", "20.0", "0.10 (1.0%)", "0.20 (1.0%)"))
