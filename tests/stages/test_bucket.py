"""A run whose workdir lies in a bucket ends with the artefacts of one on a disk."""

import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.checkpoint import Checkpoints
from chexjax.trackers import JsonlTracker
from tests.artefacts.s3_server import BUCKET, KEY, serving
from tests.stages.conftest import CONFIG
from tests.stages.test_run import contents, params

pytestmark = pytest.mark.timeout(1200)  # the first test may wait for a whole shrunken run

URL = f"s3://{BUCKET}/run"
THERE = ("studies", "sft", "candidates", "scores")


@pytest.fixture
def store(finished, monkeypatch):
    """A bucket with the first stages of a run."""
    with serving() as (store, address):
        for folder in THERE:
            for file in (finished / folder).rglob("*"):
                if file.is_file():
                    store.put(f"run/{file.relative_to(finished)}", file.read_bytes())
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield store


def machine(monkeypatch, folder):
    """Goes on at a machine with an empty disk, and says where it works there."""
    monkeypatch.setenv("CHEXJAX_STAGING", str(folder))
    return lambda: next(folder.iterdir())


def test_a_machine_and_its_disk_are_lost_between_files_and_manifest(
    finished, store, tmp_path, monkeypatch, capsys
):
    """Pairs and reference are made on one machine, which is lost when it has aligned, too."""
    first = machine(monkeypatch, tmp_path / "first")
    for stage in ("pair", "reference"):
        assert main([stage, CONFIG, f"--workdir={URL}"]) == 0
        assert f"run/{stage.replace('pair', 'pairs')}/manifest.json" in store.objects
    for folder in ("pairs", "reference"):
        assert contents(first() / folder) == contents(finished / folder)
    manifest = "run/aligned/manifest.json"
    store.refuses = lambda method, key: (
        "AccessDenied" if (method, key) == ("PUT", manifest) else None
    )
    align = ["align", CONFIG, "--config.align.checkpoint_every=1", f"--workdir={URL}"]
    assert main(align) == 2
    assert "access is denied" in capsys.readouterr().err
    assert any(key.startswith("run/aligned/params/") for key in store.objects)
    assert manifest not in store.objects

    second = machine(monkeypatch, tmp_path / "second")
    store.refuses = lambda method, key: None
    restore, restored = Checkpoints.restore, []

    def noted(self, like):
        restored.append(restore(self, like))
        return restored[-1]

    monkeypatch.setattr(Checkpoints, "restore", noted)
    assert main(align) == 0
    assert [place["step"] for _, place in restored] == [3]
    made, expected = (load(one / "aligned", "policy") for one in (second(), finished))
    assert made.identity == expected.identity
    ours, theirs = params(made.path), params(expected.path)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    logs = [JsonlTracker.read(one.path / "metrics.jsonl") for one in (made, expected)]
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]
    assert store.below("run/aligned/").keys() == made.manifest.files.keys() | {"manifest.json"}


def test_a_bucket_that_is_not_there_is_named_before_any_work(store, tmp_path, monkeypatch, capsys):
    machine(monkeypatch, tmp_path)
    assert main(["run", CONFIG, "--workdir=s3://other/run"]) == 2
    assert "there is no such bucket" in capsys.readouterr().err
