"""Every config is built and walked through its shapes, without memory for it or work done."""

import json
from pathlib import Path

import pytest
from PIL import Image

from chexjax.__main__ import main
from chexjax.config import freeze
from chexjax.config.command import parse
from chexjax.data.phantom.source import PhantomSource
from chexjax.stages.config import RunConfig

FOLDER = Path(__file__).parents[1] / "configs"
SERVER = FOLDER / "serve.py"  # of a server, not of a run; see tests/serve
CONFIGS = sorted(set(FOLDER.glob("*.py")) - {SERVER})
SIZES = {
    # Parameters, and the steps of 148,000 and 80,000 pairs, 64 a step.
    "chexalign_2_3b": ["3,128,149,504 parameters", "2,779,683,840", "2,313"],
    "chexalign_8b": ["8,362,401,664 parameters", "7,241,732,096", "1,250"],
}
RECIPES = [FOLDER / f"{name}.py" for name in SIZES]


BROUGHT = {
    "cxr_real": lambda folder: [f"--path={folder / 'manifest.jsonl'}"],
    "openi_text": lambda folder: [
        f"--path={folder}",
        *("--config.policy.checkpoint=", "--config.judge.name=rouge_l"),
    ],
}
"""Flags of configs that read what users bring."""


@pytest.fixture
def brought(tmp_path):
    folder = tmp_path / "brought"
    (folder / "ecgen-radiology").mkdir(parents=True)
    (folder / "ecgen-radiology" / "1.xml").write_text("<eCitation/>")
    Image.effect_noise((32, 32), 64).save(folder / "a.png")
    row = {"file": "a.png", "view": "PA", "findings": ["Edema"], "age": "40"}
    rows = [json.dumps(row | {"id": split, "split": split}) for split in ("train", "test")]
    (folder / "manifest.jsonl").write_text("\n".join(rows))
    return folder


def dry_run(config, tmp_path, capsys, *flags):
    command = ["run", f"--config={config}", f"--workdir={tmp_path / 'none'}", "--dry_run", *flags]
    assert main(command) == 0, capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    return capsys.readouterr().out


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_config_can_be_run_dry(file, tmp_path, capsys, monkeypatch, brought):
    monkeypatch.delattr(PhantomSource, "__getitem__")  # no study is read
    shown = dry_run(file, tmp_path, capsys, *BROUGHT.get(file.stem, lambda _: ())(brought))
    for words in ["parameters", *SIZES.get(file.stem, [])]:
        assert words in shown


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_can_be_run_dry_at_toy_size(file, tmp_path, capsys):
    assert "_nano: " in dry_run(f"{file}:small", tmp_path, capsys)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_has_the_numbers_of_the_paper_s_code(file):
    config = read(file)
    assert (config.seed, config.align.batch_size, config.align.total_epochs) == (42, 64, 1.0)
    assert config.align.freeze == ("vision/", "connector/")
    optimizer = config.align.optimizer
    assert (optimizer.learning_rate, optimizer.warmup_share, optimizer.clip) == (1e-6, 0.1, 1.0)
    assert (optimizer.b1, optimizer.b2, optimizer.weight_decay) == (0.9, 0.999, 0.0)
    assert (config.sample.candidates, config.sample.max_new_tokens) == (4, 512)
    sampler = config.sample.sampler
    assert (sampler.temperature, sampler.top_k, sampler.top_p) == (1.0, 50, 1.0)
    assert config.pair.tie == 1e-8
    assert config.policy.compute_dtype == "bfloat16"
    assert (config.mesh.data, config.mesh.fsdp) == (1, -1)


@pytest.mark.parametrize(
    ("argument", "options", "batch"),
    [
        ("loss=dpo,beta=0.01", {"beta": 0.01}, 64),
        ("loss=lc_dpo", {"beta": 0.1, "alpha": 0.05}, 64),
        ("loss=ipo", {"beta": 0.1}, 64),
        ("loss=kto", {"beta": 0.1}, 32),  # two single reports a pair
        ("loss=orpo,beta=0.05", {"beta": 0.05}, 64),
    ],
)
def test_a_recipe_has_the_paper_s_losses(argument, options, batch):
    config = read(f"{RECIPES[0]}:{argument},studies=1000")
    assert config.loss.options == options
    config.loss.build()
    assert (config.align.batch_size, config.align.batch_size // config.align.accumulate) == (
        batch,
        16,
    )
    assert config.sample.studies == config.source.phantom.train == 1000


def read(config):
    command = parse(["run", f"--config={config}", "--workdir=none"], ["run"], RunConfig)
    return freeze(RunConfig, command.config)
