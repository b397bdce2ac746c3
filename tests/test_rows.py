"""Rows: what is killed is redone whole, byte for byte, and nothing is ever lost silently.

Run as a program, this file is the victim of its own kill tests.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chexjax
from chexjax import rows
from chexjax.artefacts import Artefact, ArtefactError, Draft, begin, files, load
from chexjax.rows import Reject, Unit, decode, encode, map_units

UNITS = 5


def work(unit: int) -> Unit:
    """Three rows a unit, the first of which cannot be used in every other unit."""
    bits = np.random.default_rng(unit).integers(0, 255, (3, 400), dtype=np.uint8)
    made = [{"id": f"{unit}-{i}", "unit": unit, "bits": bits[i]} for i in range(3)]
    if unit % 2:
        return Unit(made)
    return Unit(made[1:], [Reject(made[0]["id"], "trübes Bild")])


def start(path: Path) -> Draft | Artefact:
    return begin(path, "studies", content={"seed": 1}, config={}, inputs={})


def run(path: Path, work: Callable[[int], Unit] = work, units: int = UNITS) -> Artefact:
    """What a stage does: begins, and fills the draft if there is anything left to do."""

    def summarise(found: Any) -> dict[str, Any]:
        return {"last": found[-1]["id"], "sum": int(sum(row["bits"].sum() for row in found))}

    begun = start(path)
    if isinstance(begun, Artefact):
        return begun
    return map_units(begun, units, work, describe="test", summarise=summarise, progress=False)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


class Killed(Exception):
    """Stands in for a kill where the test goes on in the same process."""


def interrupted(path: Path, unit: int) -> None:
    """Runs the map until it would begin `unit`."""

    def stop(at: int) -> Unit:
        if at == unit:
            raise Killed
        return work(at)

    with pytest.raises(Killed):
        run(path, stop)


# Rows.


def test_a_row_comes_back_as_it_went() -> None:
    row = {
        "text": "Herzgröße",
        "image": b"\x89PNG\x00",
        "nothing": None,
        "yes": True,
        "count": -(2**40),
        "score": 0.1,
        "nested": {"list": [1, {"deep": "x"}], "empty": {}},
        "logps": np.arange(6, dtype=np.float32).reshape(2, 3),
        "ids": np.array([1, 2], np.int64),
    }
    found = decode(encode(row))
    for name, value in row.items():
        np.testing.assert_equal(found[name], value)
    assert found["logps"].dtype == np.float32 and found["logps"].shape == (2, 3)
    assert encode(row) == encode(dict(reversed(row.items())))


def test_rows_are_a_sequence_in_the_order_of_units(tmp_path: Path) -> None:
    found = run(tmp_path / "studies").rows()
    ids = [row["id"] for row in found]
    assert " ".join(ids) == "0-1 0-2 1-0 1-1 1-2 2-1 2-2 3-0 3-1 3-2 4-1 4-2"
    assert len(found) == 12
    assert found[-1]["id"] == "4-2" and found[np.int64(2)]["id"] == "1-0"
    assert [row["id"] for row in found[3:6]] == ids[3:6]
    for index in (12, -13):
        with pytest.raises(IndexError):
            found[index]


def test_rows_can_be_read_from_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_OPEN_SHARDS", 2)  # so that readers come and go meanwhile
    found = run(tmp_path / "studies", units=8).rows()
    expected = [encode(row) for row in found]
    indices = [random.Random(0).randrange(len(found)) for _ in range(4000)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: encode(found[i]), indices))
    assert read == [expected[i] for i in indices]


# The map.


def test_the_manifest_counts_rows_and_rejects(tmp_path: Path) -> None:
    done = run(tmp_path / "studies")
    assert (done.manifest.rows, done.manifest.rejects) == (12, 3)
    assert done.statistics["last"] == "4-2"
    lines = (tmp_path / "studies" / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": f"{unit}-0", "reason": "trübes Bild"} for unit in (0, 2, 4)
    ]


def test_a_map_with_no_rows_at_all_still_counts_its_rejects(tmp_path: Path) -> None:
    draft = start(tmp_path / "studies")
    reject = Reject("a", "empty report")
    assert isinstance(draft, Draft)
    done = map_units(draft, 1, lambda unit: Unit([], [reject]), describe="test", progress=False)
    assert (done.manifest.rows, done.manifest.rejects, list(done.rows())) == (0, 1, [])


def test_a_map_of_no_units_is_empty(tmp_path: Path) -> None:
    draft = start(tmp_path / "studies")
    assert isinstance(draft, Draft)
    done = map_units(draft, 0, work, describe="test", progress=False)
    assert (len(done.rows()), done.manifest.files) == (0, {})


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "one")
    run(tmp_path / "two")
    assert all_bytes(tmp_path / "one") == all_bytes(tmp_path / "two")


def test_committed_units_are_not_done_again(tmp_path: Path) -> None:
    interrupted(tmp_path / "studies", unit=3)
    again = []

    def watched(unit: int) -> Unit:
        again.append(unit)
        return work(unit)

    run(tmp_path / "studies", watched)
    assert again == [3, 4]
    run(tmp_path / "whole")
    assert all_bytes(tmp_path / "studies") == all_bytes(tmp_path / "whole")


@pytest.mark.parametrize("size", [0, 10, 65536, 131071])
def test_a_truncated_shard_of_an_unfinished_map_is_done_again(
    tmp_path: Path, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    interrupted(tmp_path / "studies", unit=3)
    os.truncate(tmp_path / "studies" / "rows-00001.arrayrecord", size)
    run(tmp_path / "studies")
    assert "rows-00001.arrayrecord is damaged; its unit is done again" in capfd.readouterr().err
    run(tmp_path / "whole")
    assert all_bytes(tmp_path / "studies") == all_bytes(tmp_path / "whole")


@pytest.mark.parametrize("size", [0, 65536, 131071])
def test_a_truncated_shard_of_a_finished_artefact_is_refused(tmp_path: Path, size: int) -> None:
    run(tmp_path / "studies")
    os.truncate(tmp_path / "studies" / "rows-00002.arrayrecord", size)
    with pytest.raises(ArtefactError, match=r"rows-00002\.arrayrecord .* delete the folder"):
        load(tmp_path / "studies", "studies")


def test_another_number_of_units_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path / "studies", unit=3)
    with pytest.raises(ArtefactError, match="begun in 5 work units, now there are 6: delete"):
        run(tmp_path / "studies", units=6)


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ArtefactError, match="too large.*; give a --workdir"):
            run(tmp_path / "studies")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    run(tmp_path / "studies")
    run(tmp_path / "whole")
    assert all_bytes(tmp_path / "studies") == all_bytes(tmp_path / "whole")


# kill -9.


def in_child(task: Callable[..., Any], *args: Any, kill_after: float | None = None) -> bool:
    """Runs `task(*args)` in a forked child; returns whether it lived to the end."""
    child = os.fork()
    if child == 0:
        task(*args)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def run_and_die(path: Path, number: int, before: bool) -> None:
    """Runs the map and dies at its commit `number`, on either side of the rename."""
    real, count = os.replace, 0

    def replace(source: Any, target: Any) -> None:
        nonlocal count
        if count == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    files.os.replace = replace  # type: ignore
    run(path)


def die_at_every_commit(folder: Path) -> int:
    """For each rename that a whole run does: dies there, runs again, compares."""
    whole = all_bytes(folder / "whole")
    for number in itertools.count():
        for before in (True, False):
            path = folder / f"killed-{number}-{before}"
            if in_child(run_and_die, path, number, before):
                return number
            assert (path / "draft").exists()
            assert in_child(run, path)
            assert all_bytes(path) == whole, path
    raise AssertionError


def run_slowly(path: Path) -> None:
    def slow(unit: int) -> Unit:
        time.sleep(0.01)
        return work(unit)

    run(path, slow)


def die_at_random(folder: Path) -> int:
    """Kills maps at random moments, each until one attempt comes through, and compares."""
    whole = all_bytes(folder / "whole")
    chance, kills = random.Random(0), 0
    for trial in range(8):
        path, longest = folder / f"killed-{trial}", 0.05
        while not in_child(run_slowly, path, kill_after=chance.uniform(0, longest)):
            kills, longest = kills + 1, longest * 1.1
        assert all_bytes(path) == whole
    return kills


@pytest.mark.parametrize("how", ["die_at_every_commit", "die_at_random"])
def test_kill_9_changes_no_byte(tmp_path: Path, how: str) -> None:
    run(tmp_path / "whole")
    # In a process of its own, as forking one that runs JAX is not safe.
    victim = subprocess.run(
        [sys.executable, __file__, how, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(chexjax.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert victim.returncode == 0, victim.stderr
    assert "damaged" not in victim.stderr  # a kill is no damage: no false alarm
    # Commits: 1 to begin, 2 a unit, rejects, manifest.
    expected = {"die_at_every_commit": 1 + 2 * UNITS + 2, "die_at_random": 8}[how]
    assert int(victim.stdout) >= expected


if __name__ == "__main__":
    print(globals()[sys.argv[1]](Path(sys.argv[2])))
