"""`bench judge` says what each peer took, and which share of its tokens are ours."""

import functools
import json

import numpy as np
import pytest

from chexjax.__main__ import main
from chexjax.perf import judge_work
from chexjax.perf.judge_work import SIZES, WORKS
from chexjax.perf.judges import answers_file, keep


def test_a_missing_peer_is_named_with_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr("chexjax.perf.installed.packages_distributions", dict)
    assert main(["bench", "judge", "--against=hf"]) == 2
    message = capsys.readouterr().err
    assert "--against=hf is not installed" in message and "CHEXJAX_EXTRAS=bench" in message


def scribe(file, tokens):
    """A judge that writes what it is told to."""
    return keep(lambda: np.asarray(tokens), file)


def test_numbers_are_written_as_json(tmp_path, monkeypatch, capsys):
    said = {"chexjax": [[5, 6, 7, 8]], "hf": [[5, 6, 9, 9]]}

    def peers(folder, *_):
        return {
            name: functools.partial(scribe, answers_file(folder, name), tokens)
            for name, tokens in said.items()
        }

    monkeypatch.setattr("chexjax.stages.bench.judge._peers", peers)
    monkeypatch.setattr("chexjax.stages.bench.judge._prepare", lambda *_: None)
    nothing = functools.partial(scribe, tmp_path / "matmul", [0])
    monkeypatch.setattr("chexjax.stages.bench.timing.matmul_step", nothing)
    file = tmp_path / "bench.json"
    given = ["--size=M", "--work=green", "--rounds=2", "--threads=1", f"--json={file}"]
    assert main(["bench", "judge", *given]) == 0
    numbers = json.loads(file.read_text())
    ours, theirs = (numbers["peers"][name] for name in said)
    assert ours["times_ours"] == 1 and (ours["same_tokens"], theirs["same_tokens"]) == (1, 0.5)
    assert theirs["requests_per_second"] == pytest.approx(32 / theirs["seconds"])
    counted = judge_work.useful_flops(SIZES["M"], WORKS["green"])
    assert numbers["counted_gflop"] == pytest.approx(counted / 1e9)
    shown = capsys.readouterr().out
    assert "prompt tokens / s" in shown and "load average before" in shown
