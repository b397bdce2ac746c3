"""`bench sample` does its work through the engine, and counts it."""

import functools
import json

import pytest

from chexjax.__main__ import main
from chexjax.perf import sample_work
from tests.perf.sleeper import sleeper
from tests.perf.test_sample import TOY


def test_numbers_are_written_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sample_work.SIZES, "M", TOY)
    monkeypatch.setattr("chexjax.stages.bench.timing.matmul_step", functools.partial(sleeper, 0.02))
    file = tmp_path / "bench.json"
    assert main(["bench", "sample", "--size=M", "--rounds=2", f"--json={file}"]) == 0
    numbers = json.loads(file.read_text())
    ours = numbers["peers"]["chexjax"]
    assert ours["studies_per_second"] == pytest.approx(3 / ours["seconds"])
    assert ours["new_tokens_per_second"] == pytest.approx(3 * 2 * 7 / ours["seconds"])
    assert ours["prompt_tokens_per_second"] == pytest.approx(3 * (4 + 6) / ours["seconds"])
    counted = sample_work.useful_flops(TOY) / 1e9
    assert numbers["counted_gflop"] == counted
    assert ours["useful_gflops_per_second"] == pytest.approx(counted / ours["seconds"])
    assert ours["compile_seconds"] > 0 and numbers["failed"] == {}
    assert "studies / s" in capsys.readouterr().out
