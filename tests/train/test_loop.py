"""A training run that is killed and started again is the run that nothing happened to.

Run as a program, `test_loop.py FOLDER MS`, this file trains and kills itself MS after it has begun
to save step 6; `test_loop.py FOLDER together ADDRESS INDEX` is one of two processes that train
together.
"""

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from chexjax.checkpoint import Checkpoints
from chexjax.data.batches import PADDING, Bucket, Plan
from chexjax.distributed import is_first, join
from chexjax.families import Family, preset
from chexjax.losses import Rows
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.preemption import Preempted, listening
from chexjax.testing import random_batch, random_policy
from chexjax.trackers import JsonlTracker, StageClock
from chexjax.train import (
    SFT,
    Objective,
    TrainConfig,
    TrainingData,
    Watch,
    WatchConfig,
    train,
)
from chexjax.train.metrics import PATIENCE, MetricLog, NonFiniteRun

FAMILY = preset("chexagent2_nano", Family)
STEPS = 9
CONFIG = TrainConfig(
    batch_size=4,
    total_steps=STEPS,
    checkpoint_every=3,
    keep_every=6,
    keep_best="max:loss",
    log_every=2,
    freeze=("vision/",),
)


def collate(planned):
    """Ten studies of one image; rows have one random report each."""
    rows = np.where(planned.rows == PADDING, 0, planned.rows)
    each = [random_batch(FAMILY, images=(1,), responses=1, seed=int(row)) for row in rows]
    size = planned.bucket.prefix
    for batch in each:
        short = size - batch["prefix"]["tokens"].shape[1]
        for name in ("tokens", "placeholder", "valid"):
            batch["prefix"][name] = np.pad(batch["prefix"][name], ((0, 0), (0, short)))
    batch = jax.tree.map(lambda *leaves: np.concatenate(leaves), *each)
    batch["real"] = planned.rows != PADDING
    batch["mask"] &= batch["real"][:, None, None]
    return batch


PLAN = Plan(lengths=np.ones((10, 2), np.int32), buckets=(Bucket(40, 8),), batch_size=4, seed=0)


def data_of(collate):
    lengths = np.asarray([[len(PLAN.lengths) - k for k in range(10)]]).T
    return TrainingData(
        plan=PLAN,
        collate=collate,
        ids=[f"row {k}" for k in range(10)],
        prefix=lengths[:, 0],
        responses=lengths,
        useful=lambda load: float(load.prefix + load.response),
    )


def run(
    folder,
    *,
    objective=None,
    config=CONFIG,
    steps=STEPS,
    collate=collate,
    watch=WatchConfig(),  # noqa: B008  (it is frozen)
    kept=None,
):
    """The parameters at the end; `kept` gets those of steps that stay, by step and reason."""
    kept = {} if kept is None else kept
    with StageClock(folder, keep=is_first()).stage("sft") as timer:
        params = train(
            random_policy(FAMILY),
            FAMILY,
            objective or SFT(),
            data_of(collate),
            config=config,
            steps=steps,
            mesh=make_mesh(MeshConfig()),
            folder=folder,
            scratch=folder / "scratch",
            timer=timer,
            watch=Watch(config=watch, board=folder / "board", traces=folder / "traces", name="sft"),
            label="sft",
            keep=lambda step, why, params: kept.update({(step, why): nnx.to_pure_dict(params)}),
        )
    return nnx.to_pure_dict(params)


def lines(folder):
    """What was logged, without the times."""
    rows = JsonlTracker.read(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith("perf/")} for row in rows]


def same_bits(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder, kept = tmp_path_factory.mktemp("uninterrupted"), {}
    return run(folder, kept=kept), lines(folder), kept


def test_the_loss_falls_and_every_step_is_logged_once(uninterrupted):
    """Lines at every second step and at the end, whenever checkpoints are."""
    rows = uninterrupted[1]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 9]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_boards_show_what_is_logged_and_a_profile_is_taken_of_the_steps_asked_for(
    uninterrupted, tmp_path
):
    run(tmp_path, watch=WatchConfig(profile=(2, 3)))
    [events] = (tmp_path / "board").iterdir()
    assert b"grad_norm" in events.read_bytes() and events.stat().st_size > 1000
    assert lines(tmp_path) == uninterrupted[1]
    assert list((tmp_path / "traces").rglob("*.xplane.pb"))
    row = JsonlTracker.read(tmp_path / "metrics.jsonl")[1]
    assert {name for name in row if name.startswith("perf/")} == {
        "perf/step_ms",
        "perf/examples_per_s",
        "perf/tokens_per_s_per_device",
        "perf/data_wait_share",
        "perf/goodput",
    }  # a CPU says nothing of its peak and of its memory
    assert row["perf/examples_per_s"] == pytest.approx(4000 / row["perf/step_ms"], rel=0.5)
    assert row["perf/data_wait_share"] >= 0 and 0 < row["perf/goodput"] <= 1


@pytest.mark.parametrize("milliseconds", [20])
def test_a_run_killed_while_it_saves_goes_on_with_the_same_bits(
    uninterrupted, tmp_path, milliseconds
):
    """The second checkpoint, of step 6, has just been begun; a save takes about 60 ms."""
    killed = subprocess.run([sys.executable, __file__, str(tmp_path), str(milliseconds)])
    assert killed.returncode == -signal.SIGKILL
    kept = {}
    params = run(tmp_path, kept=kept)
    assert lines(tmp_path) == uninterrupted[1]
    same_bits(params, uninterrupted[0])
    same_bits(kept, uninterrupted[2])


def test_steps_that_are_asked_for_stay(uninterrupted):
    """The loss falls, so it is most in the first checkpoint."""
    assert list(uninterrupted[2]) == [(3, ("best",)), (6, ("every",))]
    every = [*uninterrupted[2].values(), uninterrupted[0]]
    third, sixth, last = (np.asarray(one["decoder"]["head"]["bias"]) for one in every)
    assert (third != sixth).any() and (sixth != last).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep_every": 250}, "keep_every=250 is no multiple of checkpoint_every=200"),
        ({"keep_every": -200}, "keep_every=-200"),
        ({"checkpoint_every": 0}, "checkpoint_every=0 must be at least 1"),
        ({"keep_best": "loss/nll"}, "write min:loss/nll or max:loss/nll"),
        ({"keep_best": "mean:loss"}, "write min:loss or max:loss"),
    ],
)
def test_what_cannot_be_kept_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(**options)


def test_a_run_that_is_asked_to_stop_saves_the_step_that_it_is_at(uninterrupted, tmp_path):
    """At step 5, where no checkpoint is due and a line is under way."""

    def asked(planned):
        if np.array_equal(planned.rows, PLAN.batch(4).rows) and not told:
            told.append(os.kill(os.getpid(), signal.SIGTERM))
        return collate(planned)

    told = []
    before = signal.getsignal(signal.SIGTERM)
    with listening(), pytest.raises(Preempted, match=r"stop: sft has saved step \d of 9"):
        run(tmp_path, collate=asked)
    assert signal.getsignal(signal.SIGTERM) == before
    saved = [int(path.name) for path in (tmp_path / "scratch" / "checkpoints").glob("[0-9]*")]
    assert max(saved) <= 5  # batches are made ahead of the step that takes them
    params = run(tmp_path)
    assert lines(tmp_path) == uninterrupted[1]
    same_bits(params, uninterrupted[0])


def test_processes_train_together_stop_together_and_one_alone_can_end_it(uninterrupted, tmp_path):
    """One of two is asked to stop; both stop behind the same step, and nothing is lost.

    They begin again, one of them cannot read what they have saved, and both go on from the
    checkpoint before.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, __file__, str(tmp_path), "together", address]
    started = [subprocess.Popen([*command, str(k)], stdout=subprocess.PIPE) for k in (0, 1)]
    said = [process.communicate(timeout=300)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    ways = {tuple(re.findall(r"(?:saved|from) step (\d)", words)) for words in said}
    [(stopped, resumed, again)] = ways
    assert 4 <= int(stopped) < 9 and resumed == "3" and 4 <= int(again) < 9
    aside = tmp_path / "scratch" / "checkpoints" / "damaged" / stopped
    assert (aside / "_CHECKPOINT_METADATA").exists()
    run(tmp_path)
    assert [row["step"] for row in lines(tmp_path)] == [2, 4, 6, 8, 9]
    for ours, theirs in zip(lines(tmp_path), uninterrupted[1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_run_that_was_killed_when_all_steps_were_done_only_finishes(uninterrupted, tmp_path):
    run(tmp_path)
    again = run(tmp_path)
    assert lines(tmp_path) == uninterrupted[1]
    same_bits(again, uninterrupted[0])


def test_no_steps_give_back_the_policy(tmp_path):
    same_bits(run(tmp_path, steps=0), nnx.to_pure_dict(nnx.state(random_policy(FAMILY))))


def test_a_run_without_finite_steps_is_given_up_and_saves_finite_parameters(tmp_path):
    class Nan(Objective):
        def __call__(self, model, batch, shared=None):
            value = jnp.nan * batch["real"] * model.decoder.head.bias[...].sum()
            return Rows(value, jnp.ones_like(value), {})

    rarely = dataclasses.replace(CONFIG, checkpoint_every=10, keep_every=0)
    with pytest.raises(NonFiniteRun, match=r"step 20: loss nan.*row \d"):
        run(tmp_path, objective=Nan(), steps=PATIENCE + 5, config=rarely)
    assert (tmp_path / "scratch" / "checkpoints" / "10").is_dir()  # which says that it is finite


def test_a_run_can_stop_at_the_first_step_that_is_not_finite(tmp_path):
    """A row of the third batch spoils it; an epoch is three batches long."""

    class Third(Objective):
        def __call__(self, model, batch, shared=None):
            value = jnp.where(batch["bad"], jnp.nan, 1.0) * model.decoder.head.bias[...].sum()
            return Rows(value, jnp.ones_like(value), {})

    def spoiled(planned):
        bad = np.isin(planned.rows, PLAN.batch(2).rows[:1]) & (planned.rows != PADDING)
        return collate(planned) | {"bad": bad}

    strict = dataclasses.replace(CONFIG, non_finite="stop")
    with pytest.raises(NonFiniteRun, match="step 3: ") as error:
        run(tmp_path, objective=Third(), config=strict, collate=spoiled)
    for row in PLAN.batch(2).rows:
        assert row == PADDING or f"row {row}" in str(error.value)


def test_nothing_is_compiled_after_the_first_pass_over_the_buckets(tmp_path, monkeypatch):
    """Six rows are short and four long: of three batches two are of the larger shape."""

    class Bias(Objective):
        def __call__(self, model, batch, shared=None):
            value = batch["mask"].sum((1, 2)) * model.decoder.head.bias[...].sum()
            return Rows(value, jnp.ones_like(value), {})

    lengths = np.asarray([[1, 4]] * 6 + [[1, 8]] * 4, np.int32)
    buckets = (Bucket(40, 4), Bucket(40, 8))
    plan = Plan(lengths=lengths, buckets=buckets, batch_size=4, seed=0)
    monkeypatch.setattr(sys.modules[__name__], "PLAN", plan)

    def short(planned):
        batch, most = collate(planned), planned.bucket.response
        return batch | {name: batch[name][..., :most] for name in ("inputs", "targets", "mask")}

    programs = []

    def count(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            programs[-1] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    for steps in (3, 3, 9):  # what the first run compiles beside the step is not compiled again
        programs.append(0)
        run(tmp_path / str(len(programs)), objective=Bias(), steps=steps, collate=short)
    assert programs[2] == programs[1] >= 2


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("chexjax.train.loop.check_batch", _refuse)
    with pytest.raises(ValueError, match="batch_size / accumulate=2"):
        run(tmp_path, config=TrainConfig(batch_size=4, accumulate=2, total_steps=1))


def _refuse(size, mesh, field):
    raise ValueError(f"{field}={size}")


@pytest.mark.parametrize("options", [{"batch_size": 6, "accumulate": 4}, {"batch_size": 0}])
def test_a_batch_that_cannot_be_cut_is_refused(options):
    with pytest.raises(ValueError, match="batch_size=.* is no multiple of accumulate="):
        TrainConfig(**options)


def _killed_while_saving(number, milliseconds):
    """Kills this process so long after it has begun to save step `number`."""
    save = Checkpoints.save

    def fatal(self, step, state, **beside):
        save(self, step, state, **beside)
        if step == number:
            time.sleep(milliseconds / 1000)
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.save = fatal


def _one_of_two(folder, address, index):
    """Trains together with another process, and has itself asked to stop if it is the second."""
    os.environ |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    os.environ["JAX_PROCESS_ID"] = str(index)
    join()
    push = MetricLog.push

    def told(self, number, metrics):
        if index == 1 and number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return push(self, number, metrics)

    MetricLog.push = told
    for unreadable in (False, True):
        if unreadable:
            _cannot_read_the_newest(alone=index == 1)
        try:
            with listening():
                run(folder)
        except Preempted as notice:
            print(notice, flush=True)


def _cannot_read_the_newest(*, alone):
    """A disk error while the newest checkpoint is read, if this process is the one to have it."""
    restore, read, failed = Checkpoints.restore, ocp.CheckpointManager.restore, []

    def spoilt(self, step, **options):
        if alone and not failed:
            failed.append(step)
            raise OSError(5, "Input/output error")
        return read(self, step, **options)

    def noted(self, like):
        found = restore(self, like)
        print(f"goes on from step {found[1]['step']}", flush=True)
        return found

    ocp.CheckpointManager.restore, Checkpoints.restore = spoilt, noted


if __name__ == "__main__":
    if sys.argv[2] == "together":
        _one_of_two(Path(sys.argv[1]), sys.argv[3], int(sys.argv[4]))
    else:
        _killed_while_saving(6, float(sys.argv[2]))
        run(Path(sys.argv[1]))
