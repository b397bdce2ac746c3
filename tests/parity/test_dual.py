"""SigLIP's two towers compute what transformers computes, from and to its checkpoints."""

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from chexjax.families import siglip
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.testing import assert_close
from chexjax.weights import load_model, save
from chexjax.weights.config import describe

torch = pytest.importorskip("torch", reason="numerical parity needs torch: pip install .[parity]")
transformers = pytest.importorskip("transformers", reason="numerical parity needs transformers")

FAMILY = siglip.dual(
    "x",
    tower=siglip.vision(layers=3, width=40, heads=2, mlp=96, patch=8, size=24),
    vocabulary=50,
    positions=12,
)
TOWER = {
    "hidden_size": 40,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}


@pytest.fixture(scope="module")
def theirs(randomised):
    text = TOWER | {"vocab_size": 50, "max_position_embeddings": 12}
    text |= {"bos_token_id": 0, "eos_token_id": 1}
    config = transformers.SiglipConfig(
        text_config=text,
        vision_config=TOWER | {"image_size": 24, "patch_size": 8},
        attn_implementation="eager",
    )
    return randomised(transformers.SiglipModel(config))


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("siglip")
    theirs.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def inputs():
    """Two images and three texts, the last one all padding but for a token."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(2, 50, (3, 12), np.int32)
    tokens[1, 7:] = tokens[2, 1:] = 1
    return rng.integers(0, 256, (2, 24, 24, 3), np.uint8), tokens


def their_output(model, images, tokens):
    pixels = (images.astype(np.float32) / 255 - 0.5) / 0.5
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(tokens), pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2))
        )


def our_output(model, images, tokens):
    graph, state = nnx.split(model)

    @jax.jit
    def run(state, images, tokens):
        model = nnx.merge(graph, state)
        vectors = model.encode_images(images), model.encode_texts(tokens)
        return *vectors, model.similarity(*vectors)

    return run(state, images, tokens)


def test_vectors_and_logits_are_those_of_transformers(theirs, folder, inputs):
    expected = their_output(theirs, *inputs)
    model = load_model(folder, FAMILY, mesh=make_mesh(MeshConfig()))
    images, texts, logits = our_output(model, *inputs)
    assert_close(images, expected.image_embeds.numpy(), rtol=1e-5)
    assert_close(texts, expected.text_embeds.numpy(), rtol=1e-5)
    assert_close(logits, expected.logits_per_image.numpy(), rtol=1e-5)


def test_transformers_loads_what_is_exported_and_computes_the_same(
    theirs, folder, inputs, tmp_path
):
    model = load_model(folder, FAMILY, mesh=make_mesh(MeshConfig()))
    save(tmp_path, nnx.state(model), FAMILY.names, config=describe(FAMILY, "float32"))
    before, after = (load_file(path / "model.safetensors") for path in (folder, tmp_path))
    assert after.keys() == before.keys()
    for key, tensor in after.items():
        np.testing.assert_array_equal(tensor, before[key], err_msg=key)
    again = transformers.SiglipModel.from_pretrained(tmp_path, attn_implementation="eager")
    expected, got = (their_output(model, *inputs) for model in (theirs, again))
    for name in ("image_embeds", "text_embeds", "logits_per_image"):
        np.testing.assert_array_equal(got[name].numpy(), expected[name].numpy(), err_msg=name)
