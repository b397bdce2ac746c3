"""Encoders of any size are read from the folders that transformers writes, up to any layer."""

import json
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from chexjax.judges.encoding import encoder_digest
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.testing import assert_close
from chexjax.weights import CheckpointError, load_model
from chexjax.weights.encoders import local_encoder
from tests.judges.encoders import word_encoder

SIZES = {"vocab_size": 50, "max_position_embeddings": 20}
BERT = {
    **SIZES,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def models(transformers):
    """Whole models with their language modelling heads, as hubs have them."""
    roberta = transformers.RobertaConfig(
        **BERT, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5
    )
    distilbert = transformers.DistilBertConfig(
        **SIZES, dim=16, n_layers=3, n_heads=2, hidden_dim=24
    )
    return {
        "bert": transformers.BertForPreTraining(transformers.BertConfig(**BERT)),
        "roberta": transformers.RobertaForMaskedLM(roberta),
        "distilbert": transformers.DistilBertForMaskedLM(distilbert),
    }


@pytest.mark.parametrize(
    ("kind", "old"),
    [("bert", False), ("bert", True), ("roberta", False), ("distilbert", False)],
)
def test_a_hub_folder_computes_what_transformers_computes_at_any_layer(kind, old, tmp_path):
    torch = pytest.importorskip("torch", reason="numerical parity needs torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = models(transformers)[kind].eval()
    for weight in model.parameters():
        weight.data.normal_(std=0.3)
    model.save_pretrained(tmp_path)
    if old:
        _rename(tmp_path / "model.safetensors")
    ids = np.array([[2, 7, 9, 30, 49, 3], [2, 5, 3, 1, 1, 1]])
    valid = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)
    with torch.no_grad():
        asked = {"attention_mask": torch.tensor(valid.astype(int)), "output_hidden_states": True}
        expected = model(torch.tensor(ids), **asked).hidden_states[2].numpy()
    family = local_encoder(tmp_path, layers=2)
    ours = load_model(tmp_path, family, mesh=make_mesh(MeshConfig()))
    found = np.asarray(ours(jnp.asarray(ids, jnp.int32), jnp.asarray(valid)))
    assert_close(found[valid], expected[valid], rtol=1e-5)


def _rename(file):
    """Norms as the first BERTs called them."""
    tensors = load_file(file)
    for new, old in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
        tensors = {key.replace(new, old): value for key, value in tensors.items()}
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mpnet"}, "model_type 'mpnet' is no text encoder known here"),
        ({"hidden_act": "relu"}, "'hidden_act': 'relu'.* is not computed here"),
        ({"hidden_size": None}, "has no field hidden_size"),
        ({"vocab_size": 9}, r"word_embeddings.weight \[8, 8\], not \[9, 8\]"),
    ],
)
def test_a_folder_of_something_else_is_refused_with_the_field(change, message, tmp_path):
    folder = word_encoder(tmp_path / "encoder")
    fields = json.loads((folder / "config.json").read_text("utf-8")) | change
    kept = {field: value for field, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        load_model(folder, local_encoder(folder), mesh=make_mesh(MeshConfig()))


def test_a_folder_without_a_config_or_enough_layers_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"config.json cannot be read"):
        local_encoder(tmp_path)
    with pytest.raises(CheckpointError, match="has 1 layers, not 2; ask for fewer"):
        local_encoder(word_encoder(tmp_path / "encoder"), layers=2)


def test_a_folder_that_nobody_has_converted_is_read_without_running_its_pickle(tmp_path):
    torch = pytest.importorskip("torch")
    folder = word_encoder(tmp_path / "encoder")
    ids, valid = jnp.asarray([[1, 2, 3]], jnp.int32), jnp.ones((1, 3), bool)

    def states():
        model = load_model(folder, local_encoder(folder), mesh=make_mesh(MeshConfig()))
        return np.asarray(model(ids, valid))

    expected, digest = states(), encoder_digest(folder)
    tensors = load_file(folder / "model.safetensors")
    torch.save(
        {key: torch.from_numpy(value.copy()) for key, value in tensors.items()},
        folder / "pytorch_model.bin",
    )
    assert encoder_digest(folder) == digest  # safetensors come first
    (folder / "model.safetensors").unlink()
    np.testing.assert_array_equal(states(), expected)
    assert encoder_digest(folder) != digest
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        states()
