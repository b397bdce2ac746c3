"""The image towers are SigLIP's and BLIP-2's, the Q-Former too, number for number."""

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.families import BlockSpec, Names, QFormerSpec, chexagent8b, siglip
from chexjax.mesh import path_name
from chexjax.models.connector import QFormer
from chexjax.models.vit import ViT
from chexjax.testing import assert_close
from chexjax.weights.names import slots

torch = pytest.importorskip("torch", reason="numerical parity needs torch: pip install .[parity]")
transformers = pytest.importorskip("transformers", reason="numerical parity needs transformers")


def filled(make, room, tensors, names, prefix=""):
    """A module of ours with their numbers, found by the name table; `room` is its path."""
    graph, state = nnx.split(nnx.eval_shape(make))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    shapes = {f"{room}/{path_name(path)}": leaf.shape for path, leaf in leaves}
    values = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    for slot in slots(names, shapes):
        stored = tensors[slot.key.removeprefix(prefix)]
        assert stored.shape == slot.stored_shape, slot.key
        row = ... if slot.layer is None else slot.layer
        values[slot.path][row] = slot.ours(stored, tuple(slice(None) for _ in slot.shape))
    return graph, jax.tree.unflatten(jax.tree.structure(state), [values[path] for path in shapes])


def numbers(model):
    return {key: tensor.numpy() for key, tensor in model.state_dict().items()}


def test_features_are_siglip_s_last_hidden_state(randomised):
    """Before the last norm, as CheXagent-2 reads it."""
    spec = siglip.vision(layers=3, width=40, heads=2, mlp=96, patch=8, size=24)
    theirs = randomised(
        transformers.SiglipVisionModel(
            transformers.SiglipVisionConfig(
                hidden_size=40,
                intermediate_size=96,
                num_hidden_layers=3,
                num_attention_heads=2,
                image_size=24,
                patch_size=8,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=1e-6,
                attn_implementation="eager",
            )
        )
    )
    pixels = np.random.default_rng(1).standard_normal((2, 24, 24, 3)).astype(np.float32)
    with torch.no_grad():
        channels_first = torch.tensor(pixels.transpose(0, 3, 1, 2))
        expected = theirs(channels_first, output_hidden_states=True).hidden_states[-1].numpy()
    tensors = {key.removeprefix("vision_model."): x for key, x in numbers(theirs).items()}
    names = Names(modules=siglip.vision_modules(""), tensors=siglip.vision_tensors(""))
    graph, params = filled(
        lambda: ViT(spec, dtype=np.float32, rngs=nnx.Rngs(0)), "vision", tensors, names
    )
    ours = jax.jit(lambda p, x: nnx.merge(graph, p)(x))(params, pixels)
    assert_close(ours, expected, rtol=1e-5)


def test_features_are_those_of_blip2_s_tower(randomised):
    spec = chexagent8b.eva(layers=3, width=32, heads=4, mlp=48, patch=8, size=24)
    theirs = randomised(
        transformers.Blip2VisionModel(
            transformers.Blip2VisionConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=3,
                num_attention_heads=4,
                image_size=24,
                patch_size=8,
                hidden_act="gelu",
                layer_norm_eps=1e-6,
                qkv_bias=True,
                attn_implementation="eager",
            )
        )
    )
    pixels = np.random.default_rng(0).standard_normal((2, 24, 24, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor(pixels.transpose(0, 3, 1, 2))).last_hidden_state.numpy()
    graph, params = filled(
        lambda: ViT(spec, dtype=np.float32, rngs=nnx.Rngs(0)),
        "vision",
        numbers(theirs),
        chexagent8b.NAMES,
        "vision_model.",
    )
    ours = jax.jit(lambda p, x: nnx.merge(graph, p)(x))(params, pixels)
    assert_close(ours, expected, rtol=1e-5)


def test_visual_tokens_are_those_of_blip2_s_q_former(randomised):
    """Two images, the second one absent in one study; the projection is a plain linear layer."""
    block = BlockSpec(
        width=32, heads=4, mlp=64, epsilon=1e-12, causal=False, layout="post", activation="gelu"
    )
    spec = QFormerSpec(block=block, layers=4, queries=5)
    config = transformers.Blip2QFormerConfig(
        vocab_size=10,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        cross_attention_frequency=2,
        encoder_hidden_size=24,
        attn_implementation="eager",
    )
    theirs = randomised(transformers.Blip2QFormerModel(config))
    rng = np.random.default_rng(1)
    features = rng.standard_normal((2, 2, 7, 24)).astype(np.float32)
    queries = rng.standard_normal((1, 5, 32)).astype(np.float32)
    weight, bias = rng.standard_normal((16, 32)), rng.standard_normal(16)
    present = np.asarray([[True, True], [True, False]])
    with torch.no_grad():
        hidden = theirs(
            query_embeds=torch.tensor(queries).expand(2, -1, -1),
            encoder_hidden_states=torch.tensor(features.reshape(2, 14, 24)),
            encoder_attention_mask=torch.tensor(np.repeat(present, 7, axis=1).astype(np.int64)),
        ).last_hidden_state.numpy()
    tensors = {f"qformer.{key}": tensor for key, tensor in numbers(theirs).items()}
    tensors |= {
        "query_tokens": queries,
        "language_projection.weight": weight.astype(np.float32),
        "language_projection.bias": bias.astype(np.float32),
    }
    graph, params = filled(
        lambda: QFormer(spec, 24, 16, dtype=np.float32), "connector", tensors, chexagent8b.NAMES
    )
    ours = jax.jit(lambda p, *x: nnx.merge(graph, p)(*x))(params, features, present)
    assert_close(ours, hidden @ weight.T + bias, rtol=1e-5)
