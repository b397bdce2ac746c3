"""`bench align` says what each peer took, and how that compares."""

import functools
import json

import pytest

from chexjax.__main__ import main
from tests.perf.sleeper import sleeper


def test_numbers_are_written_as_json(tmp_path, monkeypatch, capsys):
    fixed = {name: functools.partial(sleeper, 0.01) for name in ("chexjax", "other")}
    monkeypatch.setattr("chexjax.stages.bench.align._peers", lambda size, against: fixed)
    monkeypatch.setattr("chexjax.stages.bench.timing.matmul_step", functools.partial(sleeper, 0.02))
    file = tmp_path / "bench.json"
    assert main(["bench", "align", "--size=M", "--rounds=2", f"--json={file}"]) == 0
    numbers = json.loads(file.read_text())
    peers = numbers["peers"]
    assert peers["chexjax"]["times_ours"] == 1
    assert peers["other"]["compile_seconds"] == 0
    share = peers["other"]["useful_gflops_per_second"] / numbers["matmul_gflops_per_second"]
    assert peers["other"]["useful_share"] == pytest.approx(share)
    assert len(peers["other"]["all_seconds"]) == 2
    assert "response tokens / s" in capsys.readouterr().out
