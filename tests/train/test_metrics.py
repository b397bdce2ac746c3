import json

import numpy as np
import pytest

from chexjax.config import ConfigError
from chexjax.trackers import JsonlTracker
from chexjax.train.metrics import PATIENCE, MetricLog, NonFiniteRun


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def values(loss, *, skipped=0, norm=1.0):
    numbers = {"loss": loss, "grad_norm": norm, "skipped": skipped}
    return {name: np.float32(value) for name, value in numbers.items()}


def lines(path, *names):
    return [tuple(line[name] for name in ("step", *names)) for line in JsonlTracker.read(path)]


def test_a_line_is_the_mean_since_the_last_one(path):
    log = MetricLog(JsonlTracker(path), start=0, every=2)
    for step, loss in enumerate([1.0, 2.0, 3.0, 6.0, 7.0], 1):
        log.push(step, values(loss))
    assert lines(path, "loss") == [(2, 1.5), (4, 4.5)]
    log.finish(5)
    assert lines(path, "loss") == [(2, 1.5), (4, 4.5), (5, 7.0)]


def test_metrics_are_read_one_step_late(path):
    """So that the device has its next step before the host waits for the one before."""
    log = MetricLog(JsonlTracker(path), start=0, every=1)
    assert log.push(1, values(1.0)) == ""
    assert lines(path) == []
    assert log.push(2, values(2.0)) == "loss 1.000"
    assert lines(path) == [(1,)]


def test_a_new_attempt_drops_what_it_will_log_again(path):
    log = MetricLog(JsonlTracker(path), start=0, every=1)
    for step in range(1, 6):
        log.push(step, values(float(step)))
    log = MetricLog(JsonlTracker(path), start=3, every=1)
    log.push(4, values(4.5))
    log.finish(4)
    assert lines(path, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.5)]


@pytest.mark.parametrize("stopped", [1, 3, 4])
def test_a_run_goes_on_in_the_middle_of_a_line(path, stopped):
    """What the line has of the steps before comes from the clock; JSON keeps every bit."""
    losses = np.random.default_rng(0).random(6).astype(np.float32)
    whole = MetricLog(JsonlTracker(path), start=0, every=4)
    for step, loss in enumerate(losses, 1):
        whole.push(step, values(loss))
    whole.finish(6)
    expected = lines(path, "loss")
    log = MetricLog(JsonlTracker(path), start=0, every=4)
    for step in range(1, 6):
        log.push(step, values(losses[step - 1]))
        if step == stopped:
            clock = json.loads(json.dumps(log.clock()))
    log = MetricLog(JsonlTracker(path), start=stopped, every=4, clock=clock)
    for step in range(stopped + 1, 7):
        log.push(step, values(losses[step - 1]))
    log.finish(6)
    assert lines(path, "loss") == expected


@pytest.mark.parametrize("bad", [{"loss": np.nan}, {"loss": 1.0, "norm": np.inf}])
def test_skipped_steps_are_counted_and_not_averaged(path, bad):
    log = MetricLog(JsonlTracker(path), start=0, every=3)
    log.push(1, values(1.0))
    log.push(2, values(**bad, skipped=1))
    log.push(3, values(3.0, skipped=1))
    log.finish(3)
    assert lines(path, "loss", "grad_norm", "skipped") == [(3, 2.0, 1.0, 1.0)]


def test_the_rows_of_a_skipped_step_are_named(path, capsys):
    log = MetricLog(JsonlTracker(path), start=0, every=9, rows=lambda step: (f"s{step}", "s9"))
    log.push(1, values(1.0))
    log.push(2, values(np.inf, skipped=1))
    log.finish(2)
    out = capsys.readouterr().out
    assert out == "skipped step 2: loss inf, gradient norm 1.0; its rows are s2, s9\n"


def test_a_line_of_skipped_steps_alone_still_counts_them(path):
    log = MetricLog(JsonlTracker(path), start=0, every=2)
    for step in (1, 2):
        log.push(step, values(np.nan, skipped=step))
    log.finish(2)
    assert lines(path, "skipped") == [(2, 2.0)]


def test_a_run_is_given_up_after_too_many_skipped_steps_in_a_row(path):
    log = MetricLog(JsonlTracker(path), start=0, every=100)
    skipped = 0
    for step in range(1, PATIENCE):
        skipped += 1
        log.push(step, values(np.nan, skipped=skipped))
    log.push(PATIENCE, values(1.0, skipped=skipped))  # one good step: counting starts again
    with pytest.raises(
        NonFiniteRun, match=f"{PATIENCE} in a row were not finite: look at these rows"
    ):
        for step in range(PATIENCE + 1, 2 * PATIENCE + 2):
            skipped += 1
            log.push(step, values(np.nan, skipped=skipped))
    assert step == 2 * PATIENCE + 1  # one late


def test_a_score_is_the_mean_since_the_last_one_without_what_was_skipped(path):
    log = MetricLog(JsonlTracker(path), start=0, every=100, ranked_by="loss")
    for step, loss in enumerate([1.0, np.nan, 4.0], 1):
        log.push(step, values(loss))
    assert log.score() == 2.5
    assert log.score() is None


def test_a_score_goes_on_where_the_run_stopped(path):
    """As if it had been asked for a checkpoint out of turn, in the middle."""
    log = MetricLog(JsonlTracker(path), start=0, every=100, ranked_by="loss")
    log.push(1, values(1.0))
    clock = json.loads(json.dumps(log.clock()))
    log = MetricLog(JsonlTracker(path), start=1, every=100, ranked_by="loss", clock=clock)
    log.push(2, values(4.0))
    assert log.score() == 2.5


def test_a_metric_that_nobody_logs_ranks_nothing(path):
    log = MetricLog(JsonlTracker(path), start=0, every=100, ranked_by="los")
    log.push(1, values(1.0))
    with pytest.raises(ConfigError, match="there is no metric 'los'.* did you mean loss"):
        log.push(2, values(1.0))
