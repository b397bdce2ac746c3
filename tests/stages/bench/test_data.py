"""`bench data` says how many examples come, and how long a consumer waits for them."""

import functools
import json

import pytest

from chexjax.__main__ import main
from chexjax.perf import data_work
from tests.perf.sleeper import sleeper


def test_throughput_and_wait_are_told(tmp_path, monkeypatch, capsys):
    """A pass of 0.2 s over 80 records in 10 batches, the consumer busy for 5 ms each."""
    fixed = {name: functools.partial(sleeper, 0.2) for name in ("chexjax", "other")}
    monkeypatch.setitem(data_work.SIZES, "S", 80)
    monkeypatch.setattr("chexjax.perf.data_work.write", lambda folder, records: None)
    monkeypatch.setattr("chexjax.stages.bench.data._peers", lambda folder, against, pause: fixed)
    monkeypatch.setattr("chexjax.stages.bench.timing.matmul_step", functools.partial(sleeper, 0.01))
    file = tmp_path / "bench.json"
    command = ["bench", "data", "--size=S", "--rounds=2", "--step_ms=5", f"--json={file}"]
    assert main(command) == 0
    peer = json.loads(file.read_text())["peers"]["other"]
    assert peer["examples_per_second"] == pytest.approx(80 / peer["seconds"])
    assert peer["wait_ms_per_batch"] == pytest.approx(100 * peer["seconds"] - 5)
    assert "wait for a batch" in capsys.readouterr().out
