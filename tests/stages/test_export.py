"""An exported policy is a whole Hugging Face folder, and the policy that it was."""

import json
import re
import shutil

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file
from transformers import GenerationConfig, PreTrainedTokenizerFast

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import Prefix
from chexjax.stages.policies import place_policy
from chexjax.testing import random_batch
from chexjax.weights import load_model

FAMILY = preset("chexagent2_nano", Family)


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "policy"
    policy = finished / "aligned"
    assert main(["export", f"--policy={policy}", f"--to={folder}", "--dtype=float32"]) == 0
    return folder


def test_the_exported_policy_writes_the_same_logits(finished, exported):
    mesh, batch = make_mesh(MeshConfig()), random_batch(FAMILY, images=(1, 2), responses=2)
    before = place_policy(load(finished / "aligned", "policy"), FAMILY, mesh)
    after = load_model(exported, FAMILY, mesh=mesh)

    @nnx.jit
    def logits(model):
        return model.logits(model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"]))

    np.testing.assert_array_equal(logits(after), logits(before))


def test_tokenizer_and_generation_config_are_read_by_transformers(finished, exported):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(exported)
    ours = PreTrainedTokenizerFast.from_pretrained(finished / "aligned" / "tokenizer")
    text = "There is a small left pleural effusion.<|endoftext|>"
    assert tokenizer.encode(text) == ours.encode(text)
    generation = GenerationConfig.from_pretrained(exported)
    assert generation.eos_token_id == tokenizer.eos_token_id == tokenizer.encode(text)[-1]
    assert (generation.do_sample, generation.max_new_tokens) == (False, 24)


def test_the_model_card_tells_the_run(finished, exported):
    card = (exported / "README.md").read_text()
    manifest = json.loads((finished / "aligned" / "manifest.json").read_text())
    assert f"{manifest['statistics']['parameters']:,} parameters" in card
    assert f"policy: {manifest['statistics']['steps']:,} steps" in card
    rows = json.loads((finished / "pairs" / "manifest.json").read_text())["rows"]
    assert re.search(rf"\| pairs \| pairs: .* \| {rows} \| 0 \|", card)
    assert '"name": "dpo"' in card and "no medical device" in card
    assert "| score |" in card and "SFT continued" in card


def test_a_card_tells_no_results_of_another_policy(finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    file = workdir / "report" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["inputs"]["sft"] = "0" * 64
    file.write_text(json.dumps(manifest))
    assert main(["export", f"--policy={workdir / 'sft'}", f"--to={tmp_path / 'to'}"]) == 0
    assert "## Results" not in (tmp_path / "to" / "README.md").read_text()
    stored = load_file(tmp_path / "to" / "model.safetensors")
    assert {str(tensor.dtype) for tensor in stored.values()} == {"bfloat16"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--policy is missing"),
        (["--policy=nowhere", "--to=there"], "nowhere"),
        (["--policy=nowhere", "--to=there", "--dtype=int3"], "dtype"),
        (["--polcy=nowhere"], "polcy"),
        (["extra"], "extra is no flag"),
    ],
)
def test_what_cannot_be_exported_is_named(arguments, words, capsys):
    assert main(["export", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_nothing_is_written_over(finished, tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    assert main(["export", f"--policy={finished / 'sft'}", f"--to={tmp_path}"]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
