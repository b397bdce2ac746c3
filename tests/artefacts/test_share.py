"""Several processes on one folder write what one would have written.

Run as a program, this file is one of the processes.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chexjax
from chexjax.artefacts import ALONE, Artefact, ArtefactError, Share, begin, load, write_atomic
from chexjax.rows import Reject, Unit, map_units

UNITS = 7


def fill(path: Path, share: Share = ALONE, *, seed: int = 1, die_at: int = -1) -> Artefact:
    """What a stage does; it notes which units it has made, and may die in one of them."""

    def work(unit: int) -> Unit:
        if unit == die_at:
            os._exit(9)
        with open(path.parent / f"made-{share.index}", "a") as file:
            file.write(f"{unit} ")
        time.sleep(0.02)
        return Unit([{"id": f"{unit}-{row}"} for row in range(2)], [Reject(f"{unit}-x", "broken")])

    def summarise(rows: Any) -> dict[str, Any]:
        return {"ids": " ".join(row["id"] for row in rows)}

    begun = begin(path, "studies", content={"seed": seed}, config={}, inputs={}, share=share)
    if isinstance(begun, Artefact):
        return begun
    return map_units(begun, UNITS, work, describe="test", summarise=summarise, progress=False)


def process(path: Path, index: int, of: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, str(path), str(index), str(of), *more],
        env={**os.environ, "PYTHONPATH": str(Path(chexjax.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(one: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, and what it wrote to stdout and stderr (where libraries may write, too)."""
    out, error = one.communicate(timeout=60)
    return one.returncode, out, error


def said(one: subprocess.Popen[str]) -> str:
    """Its next line, waited for."""
    assert one.stdout is not None
    return one.stdout.readline()


def sealed(path: Path) -> dict[str, bytes]:
    """Every file of an artefact, without the notes that processes leave each other."""
    names = [*load(path, "studies").manifest.files, "manifest.json"]
    return {name: (path / name).read_bytes() for name in names}


def made(path: Path, index: int) -> list[int]:
    return [int(unit) for unit in (path.parent / f"made-{index}").read_text().split()]


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """What one process writes."""
    (tmp_path / "one").mkdir()
    fill(tmp_path / "one" / "studies")
    return sealed(tmp_path / "one" / "studies")


def test_processes_write_what_one_does_each_its_own_units(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    path = tmp_path / "studies"
    running = [process(path, index, 3) for index in (2, 1, 0)]  # the first comes last
    results = [ended(one) for one in running]
    assert [code for code, *_ in results] == [0, 0, 0], results
    assert sealed(path) == whole
    assert [made(path, index) for index in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert results[-1][1].split()[-1] == str(2 * UNITS)  # each is given all rows


def test_one_that_is_killed_comes_back_and_the_others_wait(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    path = tmp_path / "studies"
    first = process(path, 0, 2)
    assert ended(process(path, 1, 2, "1"))[0] == 9
    assert "waiting for 3 units of other processes" in said(first)
    assert first.poll() is None and not (path / "manifest.json").exists()
    assert ended(process(path, 1, 2))[0] == 0
    assert ended(first)[0] == 0
    assert sealed(path) == whole
    assert made(path, 1) == [1, 3, 5]


def test_what_processes_left_one_can_end_alone_and_in_another_number(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    path = tmp_path / "studies"
    first = process(path, 0, 2)
    assert ended(process(path, 1, 2, "3"))[0] == 9
    assert "units of other processes" in said(first)
    first.kill()
    ended(first)
    fill(path)
    assert sealed(path) == whole
    assert sorted(made(path, 0) + made(path, 1)) == list(range(UNITS))
    assert not (path / "draft").exists()


class WaitedInVainError(Exception):
    """Stands in for a wait without end."""


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens in the world between the looks of a process that waits."""
    events: list[Callable[[], object]] = []

    def sleep(_: float) -> None:
        if not events:
            raise WaitedInVainError
        events.pop(0)()

    monkeypatch.setattr("chexjax.artefacts.share.time", types.SimpleNamespace(sleep=sleep))
    return events


def second(path: Path) -> None:
    """Makes the second process's units; nobody seals the folder."""
    with pytest.raises(WaitedInVainError):
        fill(path, Share(index=1, of=2))


def test_a_damaged_unit_of_another_process_is_waited_for(
    tmp_path: Path, whole: dict[str, bytes], meanwhile: list[Callable[[], object]]
) -> None:
    path = tmp_path / "studies"

    def second_badly() -> None:
        events = meanwhile[:]
        meanwhile.clear()
        second(path)
        meanwhile.extend(events)
        os.truncate(path / "rows-00003.arrayrecord", 10)

    meanwhile[:] = [second_badly, lambda: second(path)]
    fill(path, Share(index=0, of=2))
    assert sealed(path) == whole
    assert made(path, 1) == [1, 3, 5, 3]


def test_what_a_first_process_left_that_was_killed_when_it_sealed_is_in_nobodys_way(
    tmp_path: Path, whole: dict[str, bytes], meanwhile: list[Callable[[], object]]
) -> None:
    path = tmp_path / "studies"
    meanwhile[:] = [lambda: second(path)]
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr("chexjax.artefacts.artefact.write_atomic", _torn)
        with pytest.raises(WaitedInVainError):
            fill(path, Share(index=0, of=2))
    assert (path / "manifest.json.tmp").exists()
    fill(path, Share(index=0, of=2))
    assert sealed(path) == whole
    assert not (path / "manifest.json.tmp").exists()


def _torn(path: Path, data: str) -> None:
    """Writes a file, and dies before it has its name if it is the manifest."""
    if path.name != "manifest.json":
        write_atomic(path, data)
        return
    path.with_name(path.name + ".tmp").write_text(data[:9])
    raise WaitedInVainError


def test_a_process_does_not_begin_before_the_first_one_has(
    tmp_path: Path, meanwhile: list[Callable[[], object]]
) -> None:
    second(tmp_path / "studies")
    assert not list(tmp_path.iterdir())


def test_a_finished_artefact_is_finished_for_every_process(tmp_path: Path) -> None:
    done = fill(tmp_path / "studies")
    for index in range(2):
        assert fill(tmp_path / "studies", Share(index=index, of=2)) == done


def test_a_process_with_another_config_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "studies")
    with pytest.raises(ArtefactError, match=r"made by another config.*\n +seed: there 1, asked 2"):
        fill(tmp_path / "studies", Share(index=1, of=2), seed=2)


@pytest.mark.parametrize(("index", "of"), [(2, 2), (-1, 2), (0, 0)])
def test_a_share_that_is_none_is_refused(index: int, of: int) -> None:
    with pytest.raises(ValueError, match=f"index={index} of={of}: index must be from 0 to of - 1"):
        Share(index=index, of=of)


def test_shares_part_the_units() -> None:
    parts = [dataclasses.replace(ALONE, index=k, of=4).units(10) for k in range(4)]
    assert sorted(unit for part in parts for unit in part) == list(range(10))


if __name__ == "__main__":
    share = Share(index=int(sys.argv[2]), of=int(sys.argv[3]))
    print(
        len(fill(Path(sys.argv[1]), share, die_at=int(sys.argv[4]) if sys.argv[4:] else -1).rows())
    )
