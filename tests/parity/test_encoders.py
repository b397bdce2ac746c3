"""Every text encoder computes what transformers computes, from and to its checkpoints."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from chexjax.families import EncoderFamily, bert
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.testing import assert_close
from chexjax.weights import CheckpointError, load_model, save
from chexjax.weights.config import describe

torch = pytest.importorskip("torch", reason="numerical parity needs torch: pip install .[parity]")
transformers = pytest.importorskip("transformers", reason="numerical parity needs transformers")

SIZES = {"layers": 3, "width": 32, "heads": 4, "vocabulary": 60}
COMMON = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "attn_implementation": "eager",
}


def family(names, model_type="", **spec):
    encoder = bert.encoder(**SIZES, **spec)
    return EncoderFamily(
        name="x", encoder=encoder, sharding=bert.SHARDING, names=names, model_type=model_type
    )


CASES = {
    "bert": (
        family(bert.bert_names("", width=32), "bert", positions=40),
        lambda: transformers.BertModel(
            transformers.BertConfig(**COMMON, max_position_embeddings=40)
        ),
    ),
    "roberta": (
        family(
            bert.bert_names("", width=32), "roberta", positions=40, offset=2, types=1, epsilon=1e-5
        ),
        lambda: transformers.RobertaModel(
            transformers.RobertaConfig(
                **COMMON,
                max_position_embeddings=40,
                type_vocab_size=1,
                layer_norm_eps=1e-5,
                pad_token_id=1,
            )
        ),
    ),
    "distilbert": (
        family(bert.DISTILBERT_NAMES, "distilbert", positions=40, types=0),
        lambda: transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=60,
                dim=32,
                n_layers=3,
                n_heads=4,
                hidden_dim=128,
                max_position_embeddings=40,
                attn_implementation="eager",
            )
        ),
    ),
}


def run(model, ids, valid):
    graph, state = nnx.split(model)
    return jax.jit(lambda s, i, v: nnx.merge(graph, s)(i, v))(state, ids, valid)


def ragged_texts():
    ids = np.random.default_rng(0).integers(3, 60, (3, 17), np.int32)
    valid = np.arange(17) < np.asarray([[17], [9], [1]])
    ids[~valid] = 1
    return ids, valid


def their_hidden_states(model, ids, valid):
    with torch.no_grad():
        mask = torch.tensor(valid.astype(np.int64))
        return model(torch.tensor(ids), attention_mask=mask).last_hidden_state.numpy()[valid]


@pytest.mark.parametrize("name", CASES)
def test_hidden_states_are_those_of_transformers(name, randomised, tmp_path):
    spec, make = CASES[name]
    theirs = randomised(make())
    theirs.save_pretrained(tmp_path)
    ids, valid = ragged_texts()
    ours = run(load_model(tmp_path, spec, mesh=make_mesh(MeshConfig())), ids, valid)
    assert_close(np.asarray(ours)[valid], their_hidden_states(theirs, ids, valid), rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_transformers_loads_what_is_exported_and_computes_the_same(name, randomised, tmp_path):
    spec, make = CASES[name]
    theirs = randomised(make())
    theirs.save_pretrained(tmp_path / "theirs")
    model = load_model(tmp_path / "theirs", spec, mesh=make_mesh(MeshConfig()))
    config = describe(spec, "float32")
    save(tmp_path / "ours", nnx.state(model), spec.names, config=config)

    before, after = (load_file(tmp_path / x / "model.safetensors") for x in ("theirs", "ours"))
    pooler = set(dict(spec.names.unused))
    assert after.keys() == before.keys() - pooler
    for key, tensor in after.items():
        np.testing.assert_array_equal(tensor, before[key], err_msg=key)
    again, found = type(theirs).from_pretrained(
        tmp_path / "ours", attn_implementation="eager", output_loading_info=True
    )
    assert set(found["missing_keys"]) == pooler and not found["unexpected_keys"]
    ids, valid = ragged_texts()
    expected = their_hidden_states(theirs, ids, valid)
    np.testing.assert_array_equal(their_hidden_states(again, ids, valid), expected)


def test_chexbert_heads_read_the_first_token_s_hidden_state(randomised, tmp_path):
    """Its checkpoint's names, the 14 heads, and no pooler on the way."""
    classes = (4,) * 13 + (2,)
    names = bert.bert_names("module.bert.", width=32, heads=14, head="module.linear_heads.")
    spec = family(names, positions=40, classes=classes)
    theirs = randomised(CASES["bert"][1]())
    theirs.save_pretrained(tmp_path / "bert")
    rng = np.random.default_rng(1)
    tensors = {
        f"module.bert.{key}": tensor
        for key, tensor in load_file(tmp_path / "bert" / "model.safetensors").items()
    }
    for k, count in enumerate(classes):
        tensors[f"module.linear_heads.{k}.weight"] = rng.standard_normal((count, 32), np.float32)
        tensors[f"module.linear_heads.{k}.bias"] = rng.standard_normal(count, np.float32)
    save_file(tensors, tmp_path / "chexbert.safetensors")
    ids = rng.integers(3, 60, (2, 9), np.int32)
    with torch.no_grad():
        first = theirs(torch.tensor(ids)).last_hidden_state[:, 0].numpy()
    model = load_model(tmp_path / "chexbert.safetensors", spec, mesh=make_mesh(MeshConfig()))
    logits = model.classify(ids, np.ones(ids.shape, bool))
    assert [x.shape[1] for x in logits] == list(classes)
    for k, ours in enumerate(logits):
        head = [tensors[f"module.linear_heads.{k}.{leaf}"] for leaf in ("weight", "bias")]
        assert_close(ours, first @ head[0].T + head[1], rtol=1e-5)


def test_a_text_beyond_the_positions_is_refused(tmp_path):
    spec, make = CASES["roberta"]
    make().save_pretrained(tmp_path)
    model = load_model(tmp_path, dataclasses.replace(spec), mesh=make_mesh(MeshConfig()))
    with pytest.raises(ValueError, match="39 tokens exceed the 38 positions"):
        model(np.ones((1, 39), np.int32), np.ones((1, 39), bool))


def test_a_config_that_no_tensor_gives_away_is_refused(tmp_path):
    spec, make = CASES["roberta"]
    model = make()
    model.config.layer_norm_eps = 1e-12
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="preset x: layer_norm_eps 1e-12, not 1e-05"):
        load_model(tmp_path, spec, mesh=make_mesh(MeshConfig()))
