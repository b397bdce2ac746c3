"""Artefacts: a finished one is a no-op, a foreign or damaged one is refused with a remedy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chexjax.artefacts import Artefact, ArtefactError, Draft, begin, identity, load
from chexjax.artefacts.files import write_atomic

CONTENT = {"sft": {"learning_rate": 0.001, "betas": (0.9, 0.999)}, "seed": 1}


def started(
    path: Path, content: Mapping[str, Any] = CONTENT, *, kind: str = "policy", **inputs: Artefact
) -> Draft | Artefact:
    return begin(path, kind, content=content, config={"mesh": 4, **content}, inputs=inputs)


def finished(path: Path, content: Mapping[str, Any] = CONTENT, **inputs: Artefact) -> Artefact:
    draft = started(path, content, **inputs)
    assert isinstance(draft, Draft)
    (draft.path / "params").mkdir()
    (draft.path / "params" / "leaf.bin").write_bytes(b"weights")
    (draft.path / "vocabulary.json").write_text("{}")
    return draft.finish(rows=3, rejects=1, statistics={"loss": np.float32(0.5)})


def test_what_finish_wrote_load_returns(tmp_path: Path) -> None:
    done = finished(tmp_path / "sft")
    found = load(tmp_path / "sft", "policy", expected=identity("policy", CONTENT, {}))
    assert found == done
    assert found.statistics == {"loss": 0.5}
    assert (found.manifest.rows, found.manifest.rejects) == (3, 1)
    assert found.manifest.config["mesh"] == 4
    # printf weights | sha256sum
    assert found.manifest.files == {
        "params/leaf.bin": {
            "bytes": 7,
            "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        },
        "vocabulary.json": {
            "bytes": 2,
            "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        },
    }
    assert sorted(os.listdir(tmp_path / "sft")) == ["manifest.json", "params", "vocabulary.json"]


def test_a_finished_artefact_is_a_no_op(tmp_path: Path) -> None:
    done = finished(tmp_path / "sft")
    before = (tmp_path / "sft" / "manifest.json").stat().st_mtime_ns
    assert started(tmp_path / "sft") == done
    assert (tmp_path / "sft" / "manifest.json").stat().st_mtime_ns == before


def test_a_killed_draft_is_carried_on_without_its_torn_files(tmp_path: Path) -> None:
    draft = started(tmp_path / "sft")
    assert isinstance(draft, Draft)
    (draft.path / "rows-00000.arrayrecord").write_bytes(b"committed")
    (draft.path / "rows-00001.arrayrecord.tmp").write_bytes(b"to")
    (draft.scratch / "step").write_text("17")
    again = started(tmp_path / "sft")
    assert again == draft
    assert [file.name for file in draft.path.glob("rows*")] == ["rows-00000.arrayrecord"]
    assert (draft.scratch / "step").read_text() == "17"


def test_a_kill_between_manifest_and_clearing_up_leaves_a_finished_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda path: None)
        done = finished(tmp_path / "sft")
    assert (tmp_path / "sft" / "draft").exists()
    assert load(tmp_path / "sft", "policy") == done
    assert started(tmp_path / "sft") == done
    assert not (tmp_path / "sft" / "draft").exists()


def test_finish_refuses_a_file_that_is_still_being_written(tmp_path: Path) -> None:
    draft = started(tmp_path / "sft")
    assert isinstance(draft, Draft)
    (draft.path / "leaf.bin.tmp").write_bytes(b"to")
    with pytest.raises(ArtefactError, match=r"leaf\.bin\.tmp is still being written"):
        draft.finish()
    with pytest.raises(ArtefactError, match="is not finished: run the stage"):
        load(tmp_path / "sft", "policy")


@pytest.mark.parametrize("unfinished", [True, False])
def test_another_config_is_refused_field_by_field(tmp_path: Path, unfinished: bool) -> None:
    started(tmp_path / "sft") if unfinished else finished(tmp_path / "sft")
    other = {"sft": {"learning_rate": 0.002, "betas": (0.9, 0.95)}, "seed": 1, "extra": True}
    with pytest.raises(ArtefactError) as error:
        started(tmp_path / "sft", other)
    message = str(error.value)
    assert "sft.learning_rate: there 0.001, asked 0.002" in message
    assert "sft.betas: there [0.9, 0.999], asked [0.9, 0.95]" in message
    assert "extra: there nothing, asked True" in message
    assert "seed" not in message
    assert "another --workdir, or delete the folder" in message


def test_at_most_eight_differences_are_shown(tmp_path: Path) -> None:
    finished(tmp_path / "sft", {f"f{i}": i for i in range(11)})
    with pytest.raises(ArtefactError, match="and 3 more") as error:
        started(tmp_path / "sft", {f"f{i}": -1 for i in range(11)})
    assert str(error.value).count("asked -1") == 8


def test_another_input_is_refused_by_name(tmp_path: Path) -> None:
    studies = [finished(tmp_path / f"studies{seed}", {"seed": seed}) for seed in (1, 2)]
    done = finished(tmp_path / "sft", studies=studies[0])
    assert started(tmp_path / "sft", studies=studies[0]) == done
    with pytest.raises(ArtefactError, match="input studies: there .*, asked "):
        started(tmp_path / "sft", studies=studies[1])


def test_another_kind_is_refused(tmp_path: Path) -> None:
    finished(tmp_path / "sft")
    with pytest.raises(ArtefactError, match=r"holds policy, not studies: give the folder of a st"):
        load(tmp_path / "sft", "studies")
    with pytest.raises(ArtefactError, match="kind: there policy, asked studies"):
        started(tmp_path / "sft", kind="studies")


def test_load_says_which_fields_differ_from_the_expected_identity(tmp_path: Path) -> None:
    finished(tmp_path / "sft")
    other = {**CONTENT, "seed": 2}
    expected = identity("policy", other, {})
    with pytest.raises(ArtefactError, match="seed: there 1, asked 2"):
        load(tmp_path / "sft", "policy", expected=expected, content=other)
    with pytest.raises(ArtefactError, match="made by another config or from other inputs"):
        load(tmp_path / "sft", "policy", expected=expected)


def test_identity_feels_kind_content_and_inputs_only(tmp_path: Path) -> None:
    done = finished(tmp_path / "sft")
    same = identity(
        "policy", {"seed": 1, "sft": {"betas": [0.9, 0.999], "learning_rate": 1e-3}}, {}
    )
    assert same == done.identity
    others = {
        identity("scores", CONTENT, {}),
        identity("policy", {**CONTENT, "seed": 2}, {}),
        identity("policy", CONTENT, {"studies": done}),
    }
    assert len(others | {same}) == 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(b"weight"), r"leaf\.bin .* it has 6 bytes, expected 7"),
        (lambda file: file.write_bytes(b"weightz"), r"leaf\.bin .* its SHA-256 is "),
        (lambda file: file.unlink(), r"leaf\.bin .* it is missing"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage: Any, message: str) -> None:
    finished(tmp_path / "sft")
    damage(tmp_path / "sft" / "params" / "leaf.bin")
    for use in (lambda: load(tmp_path / "sft", "policy"), lambda: started(tmp_path / "sft")):
        with pytest.raises(ArtefactError, match=message + r".*; delete the folder .*sft and run"):
            use()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:100], r"manifest\.json cannot be used: .*; delete the folder"),
        (lambda text: text.replace('"seed": 1', '"seed": 2'), r"it was edited"),
        (lambda text: text.replace('"schema": 1', '"schema": 9'), r"schema is 9, this version r"),
        (lambda text: json.dumps({"schema": 1}), r"manifest\.json cannot be used"),
        (lambda text: "[]", r"manifest\.json cannot be used"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    finished(tmp_path / "sft")
    file = tmp_path / "sft" / "manifest.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(ArtefactError, match=message):
        load(tmp_path / "sft", "policy")


def test_a_damaged_note_of_a_draft_is_refused(tmp_path: Path) -> None:
    draft = started(tmp_path / "sft")
    assert isinstance(draft, Draft)
    (draft.scratch / "draft.json").write_text("{")
    with pytest.raises(ArtefactError, match=r"draft\.json cannot be used: .*delete the folder"):
        started(tmp_path / "sft")


def test_a_folder_that_is_no_artefact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(ArtefactError, match=r"has no manifest\.json, so it is not an artefact"):
        load(tmp_path, "studies")
    with pytest.raises(ArtefactError, match="is not empty and no stage wrote it: choose another"):
        started(tmp_path)
    assert (tmp_path / "holiday.jpg").exists()


def test_a_missing_artefact_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no studies artefact at .*: run the stage that writes"):
        load(tmp_path / "studies", "studies")


def test_a_workdir_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "studies", Path("/proc/none/studies")):
        with pytest.raises(ArtefactError, match=r"cannot write /.*; give a --workdir that you can"):
            started(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_workdir_without_permission_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    finished(tmp_path / "sft")
    (tmp_path / "sft").chmod(0)
    try:
        with pytest.raises(ArtefactError, match="cannot read .*; give a --workdir"):
            load(tmp_path / "sft", "policy")
    finally:
        (tmp_path / "sft").chmod(0o700)


def test_parents_of_the_workdir_are_made(tmp_path: Path) -> None:
    assert isinstance(started(tmp_path / "runs" / "one" / "studies"), Draft)


def test_statistics_become_json(tmp_path: Path) -> None:
    draft = started(tmp_path / "sft")
    assert isinstance(draft, Draft)
    values = {"mean": np.float64("nan"), "counts": np.arange(2), "pair": (1, float("inf"))}
    draft.finish(statistics=values)
    statistics = load(tmp_path / "sft", "policy").statistics
    assert statistics == {"mean": None, "counts": [0, 1], "pair": [1, None]}


def test_write_atomic_replaces_whole_files(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.json", "first")
    write_atomic(tmp_path / "a.json", b"then")
    assert (tmp_path / "a.json").read_text() == "then"
    assert os.listdir(tmp_path) == ["a.json"]
