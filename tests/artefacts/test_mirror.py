"""A workdir in a bucket is the workdir that it would be on a disk, whatever is killed and where."""

import json
import shutil
import sqlite3
import sys
import threading

import pytest

from chexjax import artefacts
from chexjax.artefacts import ALONE, ArtefactError, Share, mirror
from chexjax.artefacts.workdir import opened
from chexjax.rows import Unit, map_units
from tests.artefacts.s3_server import BUCKET, KEY, serving

URL = f"s3://{BUCKET}/runs/a"
UNITS = 4


@pytest.fixture(scope="module")
def server():
    with serving() as (store, address):
        yield store, address


@pytest.fixture
def store(server, tmp_path, monkeypatch):
    """An empty bucket, this process being at a machine with an empty disk."""
    for name, value in {
        "AWS_ENDPOINT_URL": server[1],
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    move(monkeypatch, tmp_path / "first machine")
    monkeypatch.setattr(mirror, "_SECONDS_BETWEEN_LOOKS", 0.05)
    server[0].__init__()
    return server[0]


def move(monkeypatch, machine):
    """To another machine, whose disk is another one."""
    monkeypatch.setenv("CHEXJAX_STAGING", str(machine))


def begin(workdir, share=ALONE):
    return artefacts.begin(workdir / "rows", "rows", content={}, config={}, inputs={}, share=share)


def fill(draft, made=None):
    """Finishes an artefact of rows; `made` gets the units that were made for it."""
    made = [] if made is None else made

    def unit(number):
        made.append(number)
        return Unit([{"id": f"{number}-{row}"} for row in range(3)])

    return map_units(draft, UNITS, unit, describe="rows", progress=False)


def rows_of(workdir):
    return [row["id"] for row in artefacts.load(workdir / "rows", "rows").rows()]


EXPECTED = [f"{unit}-{row}" for unit in range(UNITS) for row in range(3)]


def test_the_manifest_comes_last_and_the_notes_go(store):
    with opened(URL, ALONE) as workdir:
        fill(begin(workdir))
    written = [key.removeprefix("runs/a/") for key in store.written]
    files = [f"rows/rows-{unit:05d}.arrayrecord" for unit in range(UNITS)]
    last = written.index("rows/manifest.json")
    assert all(written.index(file) < last for file in files)
    assert store.below("runs/a/rows/").keys() == {f.removeprefix("rows/") for f in files} | {
        "manifest.json"
    }


def test_another_machine_reads_what_one_has_written(store, tmp_path, monkeypatch):
    with opened(URL, ALONE) as workdir:
        made = fill(begin(workdir))
    move(monkeypatch, tmp_path / "second machine")
    before = dict(store.objects)
    with opened(URL, ALONE) as other:
        assert other != workdir and not (other / "rows").exists()
        assert rows_of(other) == EXPECTED
        assert begin(other).manifest == made.manifest
    assert {k: v for k, v in store.objects.items() if "/rows/" in k} == {
        k: v for k, v in before.items() if "/rows/" in k
    }


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_one_killed_before_the_manifest_leaves_no_artefact_and_is_gone_on_from(
    disk, store, tmp_path, monkeypatch
):
    store.refuses = lambda method, key: (
        "AccessDenied" if method == "PUT" and key.endswith("rows/manifest.json") else None
    )
    with pytest.raises(ArtefactError, match="access is denied"), opened(URL, ALONE) as workdir:
        fill(begin(workdir))
    assert (workdir / "rows" / "manifest.json").exists()
    assert "rows-00003.arrayrecord" in store.below("runs/a/rows/")
    store.refuses = lambda method, key: None
    if disk == "lost":
        move(monkeypatch, tmp_path / "second machine")
    with opened(URL, ALONE) as again:
        begun = begin(again)
        if disk == "lost":
            fill(begun)
    whole = store.below("runs/a/rows/")
    assert whole.keys() == {"manifest.json"} | {f"rows-{u:05d}.arrayrecord" for u in range(UNITS)}
    for name, data in whole.items():
        if name != "manifest.json":
            assert (workdir / "rows" / name).read_bytes() == data


def test_units_that_have_gone_up_are_not_made_again(store, tmp_path, monkeypatch):
    """The machine is lost when two of four units are there."""

    def lost(number):
        if number == 2:
            raise KeyboardInterrupt
        return Unit([{"id": f"{number}-{row}"} for row in range(3)])

    with pytest.raises(KeyboardInterrupt), opened(URL, ALONE) as workdir:
        map_units(begin(workdir), UNITS, lost, describe="rows", progress=False)
    move(monkeypatch, tmp_path / "second machine")
    made = []
    with opened(URL, ALONE) as other:
        fill(begin(other), made)
        assert rows_of(other) == EXPECTED
    assert made == [2, 3]


def checkpoint(draft, step, text="x"):
    folder = draft.scratch / "checkpoints" / str(step)
    (folder / "state").mkdir(parents=True)
    for name in ("state/a", "state/_CHECKPOINT_METADATA", "_CHECKPOINT_METADATA"):
        (folder / name).write_text(text)
    (draft.path / "metrics.jsonl").write_text(f"{step}\n")


def steps(workdir):
    return {int(path.name) for path in (workdir / "rows/draft/checkpoints").glob("[0-9]*")}


def test_a_checkpoint_whose_upload_was_cut_off_is_none(store, tmp_path, monkeypatch):
    with opened(URL, ALONE) as workdir:
        draft = begin(workdir)
        checkpoint(draft, 3)
        checkpoint(draft, 6)
    order = [key.partition("checkpoints/6/")[2] for key in store.written if "checkpoints/6" in key]
    assert order == ["state/_CHECKPOINT_METADATA", "state/a", "_CHECKPOINT_METADATA"]
    store.delete("runs/a/rows/draft/checkpoints/6/_CHECKPOINT_METADATA")
    move(monkeypatch, tmp_path / "second machine")
    with opened(URL, ALONE) as other:
        begin(other)
        assert steps(other) == {3}
        assert (other / "rows" / "metrics.jsonl").read_text() == "6\n"


def test_a_machine_that_comes_back_goes_on_from_what_others_did_meanwhile(
    store, tmp_path, monkeypatch
):
    """And one that nobody has overtaken goes on from its own disk, which may be further."""
    with opened(URL, ALONE) as workdir:
        draft = begin(workdir)
        checkpoint(draft, 3)
    checkpoint(draft, 4)  # not uploaded
    with opened(URL, ALONE) as workdir:
        begin(workdir)
        assert steps(workdir) == {3, 4}
    move(monkeypatch, tmp_path / "second machine")
    with opened(URL, ALONE) as other:
        draft = begin(other)
        shutil.rmtree(draft.scratch / "checkpoints" / "3")
        checkpoint(draft, 9)
    assert not any("checkpoints/3/" in key for key in store.objects)
    move(monkeypatch, tmp_path / "first machine")
    with opened(URL, ALONE) as workdir:
        begin(workdir)
        assert steps(workdir) == {4, 9}


def test_what_is_deleted_in_the_bucket_is_made_again(store):
    with opened(URL, ALONE) as workdir:
        fill(begin(workdir))
    for key in [key for key in store.objects if "/rows/" in key]:
        store.delete(key)
    made = []
    with opened(URL, ALONE) as workdir:
        fill(begin(workdir), made)
    assert made == [0, 1, 2, 3]


def test_a_damaged_copy_is_fetched_again_and_a_damaged_object_is_refused(store):
    with opened(URL, ALONE) as workdir:
        fill(begin(workdir))
    shard = workdir / "rows" / "rows-00001.arrayrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with opened(URL, ALONE) as workdir:
        assert rows_of(workdir) == EXPECTED
    store.put(f"runs/a/rows/{shard.name}", whole[:-1] + bytes([whole[-1] ^ 1]))
    shutil.rmtree(workdir)
    with opened(URL, ALONE) as workdir, pytest.raises(ArtefactError, match=shard.name):
        rows_of(workdir)


def test_logs_and_answers_beside_the_artefacts_come_back(store, tmp_path, monkeypatch):
    with opened(URL, ALONE) as workdir:
        (workdir / "timings.json").write_text("{}")
        (workdir / "tensorboard" / "sft").mkdir(parents=True)
        (workdir / "tensorboard" / "sft" / "events").write_text("e")
        answers = sqlite3.connect(workdir / "answers.sqlite", isolation_level=None)
        answers.execute("PRAGMA journal_mode=WAL")
        answers.execute("CREATE TABLE answers (text)")
        answers.execute("INSERT INTO answers VALUES ('kept')")  # in the WAL, and not closed
    move(monkeypatch, tmp_path / "second machine")
    with opened(URL, ALONE) as other:
        assert (other / "timings.json").read_text() == "{}"
        assert (other / "tensorboard" / "sft" / "events").read_text() == "e"
        found = sqlite3.connect(other / "answers.sqlite").execute("SELECT text FROM answers")
        assert found.fetchall() == [("kept",)]
    answers.close()


def test_processes_that_share_the_work_meet_in_the_bucket(store):
    """Two, each with a disk of its own; the first finishes what both have made."""
    made, failed = {0: [], 1: []}, []

    def work(index):
        share = Share(index=index, of=2)
        try:
            with opened(URL, share) as workdir:
                fill(begin(workdir, share), made[index])
                assert rows_of(workdir) == EXPECTED
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed and made == {0: [0, 2], 1: [1, 3]}
    assert json.loads(store.below("runs/a/rows/")["manifest.json"])["rows"] == 12


def test_a_server_that_is_busy_for_a_moment_is_asked_again(store):
    busy = iter(["SlowDown"] * 2)
    store.refuses = lambda method, key: next(busy, None) if "00001" in key else None
    with opened(URL, ALONE) as workdir:
        fill(begin(workdir))
    assert "manifest.json" in store.below("runs/a/rows/")


def test_large_files_go_up_in_parts(store):
    data = bytes(range(256)) * 48_000  # 12 MB
    with opened(URL, ALONE) as workdir:
        draft = begin(workdir)
        (draft.path / "large").write_bytes(data)
        fill(draft)
    assert store.below("runs/a/rows/")["large"] == data


@pytest.mark.parametrize(
    ("place", "environment", "words"),
    [
        ("s3://bukket/a", {}, "there is no such bucket; make it, or mend the --workdir"),
        (URL, {"AWS_ACCESS_KEY_ID": "wrong"}, "access is denied"),
        ("s3:///a", {}, "cannot open s3:///a"),
    ],
)
def test_a_bucket_that_cannot_be_worked_in_is_named_before_any_work(
    place, environment, words, store, monkeypatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArtefactError, match=words), opened(place, ALONE):
        raise AssertionError("it was opened")


def test_a_library_that_is_missing_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ArtefactError, match=r"chexjax\[cloud\]"), opened(URL, ALONE):
        raise AssertionError("it was opened")
