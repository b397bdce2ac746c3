"""Event files against bytes that tensorboardX 2.6.5 wrote, and a stand-in for wandb."""

import struct
import sys
import types

import pytest

from chexjax.config import ConfigError
from chexjax.trackers import JsonlTracker
from chexjax.train import boards
from chexjax.train.boards import TensorBoard, Trackers, Wandb

WRITTEN = bytes.fromhex(
    "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d"
    "2600000000000000734fe3000900002040fc54d94110ac022a180a160a0f726577617264732f6d61"
    "7267696e7315000080befd41b530"
)
"""Its first event, at 1.7e9 s, and `rewards/margins` = -0.25 of step 300 half a second on."""


def events(folder):
    return (folder / "events.out.tfevents.chexjax").read_bytes()


def steps(folder):
    """The steps in a file, found by the tag and the value of what was logged: its number.

    The tag is looked for with its length before it: two bytes of it alone can stand in a time or a
    checksum.
    """
    parts = events(folder).split(b"\x0a\x01x\x15")[1:]
    return [int(struct.unpack_from("<f", part)[0]) for part in parts]


@pytest.fixture
def board(tmp_path):
    board = TensorBoard(tmp_path)
    for step in (1, 127, 128, 300, 70_000):
        board.log(step, {"x": float(step)})
    return board


def test_the_bytes_are_those_of_another_writer(tmp_path, monkeypatch):
    clock = iter([1.7e9, 1.7e9 + 0.5])
    monkeypatch.setattr(boards, "time", types.SimpleNamespace(time=lambda: next(clock)))
    TensorBoard(tmp_path).log(300, {"rewards/margins": -0.25})
    assert events(tmp_path) == WRITTEN


def test_what_is_not_finite_is_left_out(tmp_path):
    TensorBoard(tmp_path).log(1, {"x": float("nan"), "y": 1.0})
    assert b"y\x15" in events(tmp_path) and b"x\x15" not in events(tmp_path)


@pytest.mark.parametrize(
    ("after", "left"), [(0, []), (127, [1, 127]), (299, [1, 127, 128]), (300, [1, 127, 128, 300])]
)
def test_a_resumed_run_drops_what_it_will_log_again(board, tmp_path, after, left):
    board.truncate(after)
    assert steps(tmp_path) == left
    assert events(tmp_path).startswith(WRITTEN[:12][:8])  # the first event stays


@pytest.mark.parametrize("torn", [1, 5, 20])
def test_a_torn_record_is_cut_off_and_the_file_goes_on(board, tmp_path, torn):
    file = tmp_path / "events.out.tfevents.chexjax"
    file.write_bytes(events(tmp_path)[:-torn])
    TensorBoard(tmp_path).log(9, {"x": 9.0})
    assert steps(tmp_path) == [1, 127, 128, 300, 9]


def test_trackers_are_told_the_same(tmp_path):
    together = Trackers([JsonlTracker(tmp_path / "a.jsonl"), TensorBoard(tmp_path / "b")])
    together.log(1, {"x": 1.0})
    together.log(2, {"x": 2.0})
    together.truncate(1)
    together.close()
    assert JsonlTracker.read(tmp_path / "a.jsonl") == [{"step": 1, "x": 1.0}]
    assert steps(tmp_path / "b") == [1]


def test_wandb_goes_on_with_the_run_of_the_same_name(tmp_path, monkeypatch):
    said = []

    class Run:
        def log(self, metrics, step):
            said.append((step, metrics))

        def finish(self):
            said.append("finished")

    def init(**options):
        said.append(options)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    run = Wandb("project", "run-aligned", tmp_path / "here")
    run.truncate(3)
    run.log(4, {"loss": 0.5})
    run.close()
    name = {"name": "run-aligned", "id": "run-aligned", "resume": "allow"}
    assert said == [
        {"project": "project", "dir": str(tmp_path / "here"), **name},
        (4, {"loss": 0.5}),
        "finished",
    ]


def test_wandb_that_is_not_installed_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        ConfigError, match=r"config.watch.wandb='p'.*pip install 'chexjax\[wandb\]'"
    ):
        Wandb("p", "n", tmp_path)
