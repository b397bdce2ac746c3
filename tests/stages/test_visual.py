"""Cached visual tokens: nothing but time and space tells that there are any."""

import json
import shutil

import numpy as np
import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.data.images import open_image
from chexjax.data.visual import VisualWriter
from tests.stages.conftest import CONFIG

CACHE = ["--config.visual.cache", "--config.visual.unit=8"]
EPOCHS = ["--config.align.total_epochs=2.0", "--config.align.checkpoint_every=99"]


def statistics(workdir, folder):
    return json.loads((workdir / folder / "manifest.json").read_text())["statistics"]


def losses(workdir):
    lines = (workdir / "aligned" / "metrics.jsonl").read_text().splitlines()
    return np.asarray([json.loads(line)["loss"] for line in lines])


def tokens_of(workdir):
    files = (workdir / "visual" / "tokens").rglob("*")
    return {file.relative_to(workdir): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def plain(finished, tmp_path_factory):
    """Without a cache: two epochs of alignment."""
    workdir = shutil.copytree(finished, tmp_path_factory.mktemp("plain") / "run")
    shutil.rmtree(workdir / "aligned")
    assert main(["align", CONFIG, *EPOCHS, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def encoded(plain, tmp_path_factory):
    """The same pairs with their visual tokens, written in two attempts; nothing read them yet."""
    workdir = shutil.copytree(plain, tmp_path_factory.mktemp("cached") / "run")
    for folder in ("reference", "aligned"):
        shutil.rmtree(workdir / folder)
    command = ["visual", CONFIG, *CACHE, f"--workdir={workdir}"]
    write, begun = VisualWriter.write, []

    def killed(self, unit, tokens):
        begun.append(unit)
        write(self, unit, tokens)
        if begun == [0, 1]:
            (workdir / "visual" / "tokens" / "c" / "1" / "0" / "0").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisualWriter, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            main(command)
        assert not (workdir / "visual" / "manifest.json").exists()
        assert main(command) == 0
    assert begun == [0, 1, 1, 2]
    return workdir


def test_two_epochs_from_the_cache_have_the_losses_of_two_without(
    plain, encoded, tmp_path, monkeypatch
):
    workdir = shutil.copytree(encoded, tmp_path / "run")

    def seen(data):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(f"{open_image.__module__}.open_image", seen)
    for stage in ("reference", "align"):
        assert main([stage, CONFIG, *CACHE, *EPOCHS, f"--workdir={workdir}"]) == 0
    assert len(losses(workdir)) == 6
    np.testing.assert_allclose(losses(workdir), losses(plain), rtol=1e-6)
    rows = (load(each / "reference", "reference").rows() for each in (workdir, plain))
    for ours, expected in zip(*rows, strict=True):
        for one, other in zip(ours["ref_logps"], expected["ref_logps"], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    for folder, kind in (("reference", "reference"), ("aligned", "policy")):
        ours, expected = (load(each / folder, kind) for each in (workdir, plain))
        assert ours.identity == expected.identity
        counted = statistics(workdir, folder)
        assert counted["flops"] < expected.statistics["flops"]
        # What the control, which gets the compute of alignment, takes for its budget.
        budget = counted["flops"] + counted["flops_spared"]
        assert budget == pytest.approx(expected.statistics["flops"], rel=1e-12)


def test_without_it_nothing_is_written(finished):
    assert not (finished / "visual").exists()


def test_the_bytes_that_are_announced_are_those_on_disk(encoded, tmp_path, capsys):
    made = statistics(encoded, "visual")
    on_disk = sum(map(len, tokens_of(encoded).values()))
    assert made["token_bytes"] <= on_disk < 1.1 * made["token_bytes"]
    shutil.copytree(encoded, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "visual")
    command = ["visual", CONFIG, *CACHE, f"--workdir={tmp_path / 'run'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 3, 7))
        assert main(command) == 2
    out, err = capsys.readouterr()
    assert f"{made['token_bytes']:,} bytes" in out
    assert "7 free" in err and "config.visual.cache=False" in err
    assert not tokens_of(tmp_path / "run")


def test_a_kill_costs_the_unit_that_it_hit(encoded):
    made = load(encoded / "visual", "visual")
    units = sorted(name for name in made.manifest.files if name.startswith("tokens/c/"))
    assert units == [f"tokens/c/{unit}/0/0" for unit in range(3)]
    assert made.manifest.rows == load(encoded / "pairs", "pairs").manifest.rows


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--config.align.freeze=('vision/',)"], "connector/"),
        (["--config.align.freeze=('connector/',)"], "vision/"),
        (
            [
                "--config.align.lora.rank=2",
                "--config.align.lora.targets=('vision/',)",
                "--config.align.freeze=()",
            ],
            "vision/blocks",
        ),
    ],
)
def test_what_moves_the_tokens_is_named_before_any_work(change, named, tmp_path, capsys):
    command = ["run", CONFIG, *CACHE, *change, f"--workdir={tmp_path / 'run'}"]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "config.visual.cache" in message and "config.align.freeze" in message
    assert f"the first of which is {named}" in message and "lora.targets" in message
    assert not (tmp_path / "run").exists()


def test_a_dry_run_says_how_much_there_can_be(tmp_path, capsys):
    command = ["run", CONFIG, *CACHE, f"--workdir={tmp_path / 'none'}", "--dry_run"]
    assert main(command) == 0
    # 24 studies of two images of 16 tokens, 32 wide, in float32.
    assert f"at most {24 * 2 * 16 * 32 * 4:,} bytes" in capsys.readouterr().out


def test_tokens_of_another_dtype_are_refused(encoded, capsys):
    other = ["--config.policy.compute_dtype=bfloat16", f"--workdir={encoded}"]
    assert main(["reference", CONFIG, *CACHE, *other]) == 2
    assert "config.policy.compute_dtype=float32" in capsys.readouterr().err
