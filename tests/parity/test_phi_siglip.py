"""The decoder is Phi and the tower is SigLIP, number for number, as transformers runs them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.families import BlockSpec, DecoderSpec, VisionSpec
from chexjax.models.decoder import Decoder, Stream
from chexjax.models.vit import ViT
from chexjax.testing import assert_close

torch = pytest.importorskip("torch", reason="numerical parity needs torch: pip install .[parity]")
transformers = pytest.importorskip("transformers", reason="numerical parity needs transformers")

LAYERS, WIDTH, HEADS, MLP = 3, 40, 2, 96


def randomised(module):
    """Every weight random, biases and norm scales too, so that none is compared at zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            spread = 0.3 if weight.ndim == 1 or "embed" in name else weight.shape[-1] ** -0.5
            weight.normal_(std=spread)
            if "norm" in name and name.endswith("weight"):
                weight.add_(1.0)
    return module.eval()


def linear(state, name):
    return {"kernel": state[f"{name}.weight"].T, "bias": state[f"{name}.bias"]}


def norm(state, name):
    return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}


def block(state, name, *, out, norms):
    projections = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": out}
    return {
        "attention": {
            ours: linear(state, f"{name}.self_attn.{theirs}")
            for ours, theirs in projections.items()
        },
        "mlp": {part: linear(state, f"{name}.mlp.{part}") for part in ("fc1", "fc2")},
        **{ours: norm(state, f"{name}.{theirs}") for ours, theirs in norms.items()},
    }


def stacked(layers):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *layers)


def numbers(module):
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def build(make, values):
    """A module of ours with the given parameters."""
    graph, state = nnx.split(nnx.eval_shape(make))
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, values))
    return graph, state


def test_decoder_logits_are_those_of_phi():
    """Parallel block, rotary on 0.4 of each head, biases everywhere, final norm, head with bias."""
    vocabulary = 50
    theirs = randomised(
        transformers.PhiForCausalLM(
            transformers.PhiConfig(
                vocab_size=vocabulary,
                hidden_size=WIDTH,
                intermediate_size=MLP,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                partial_rotary_factor=0.4,
                layer_norm_eps=1e-5,
                attn_implementation="eager",
                max_position_embeddings=64,
            )
        )
    )
    ids = np.random.default_rng(0).integers(0, vocabulary, (2, 21))
    with torch.no_grad():
        expected = theirs(torch.tensor(ids)).logits.numpy()

    state = numbers(theirs)
    layers = [
        block(state, f"model.layers.{k}", out="dense", norms={"norm1": "input_layernorm"})
        for k in range(LAYERS)
    ]
    values = {
        "embed": {"embedding": state["model.embed_tokens.weight"]},
        "body": stacked(layers[:-1]),
        "last": layers[-1],
        "norm": norm(state, "model.final_layernorm"),
        "head": linear(state, "lm_head"),
    }
    spec = DecoderSpec(
        block=BlockSpec(
            width=WIDTH,
            heads=HEADS,
            mlp=MLP,
            epsilon=1e-5,
            parallel=True,
            causal=True,
            rotary=8,  # 0.4 of a head of 20
        ),
        layers=LAYERS,
        vocabulary=vocabulary,
        context=64,
    )
    graph, params = build(lambda: Decoder(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)), values)

    @functools.partial(jax.jit, static_argnums=2)
    def run(params, ids, cut):
        """The first `cut` tokens as a shared prefix, the rest as its response."""
        decoder = nnx.merge(graph, params)
        positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
        whole = Stream(x=decoder.embed(ids), positions=positions, valid=jnp.ones(ids.shape, bool))
        prefix = jax.tree.map(lambda leaf: leaf[:, :cut], whole)
        response = jax.tree.map(lambda leaf: leaf[:, None, cut:], whole)
        return decoder.head(decoder.score(prefix, response))[:, 0]

    assert_close(run(params, ids, 9), expected[:, 9:], rtol=1e-5)


def test_features_are_siglip_s_last_hidden_state():
    """Sequential blocks with two norms, tanh-GELU, learned positions, no final norm."""
    size, patch = 24, 8
    theirs = randomised(
        transformers.SiglipVisionModel(
            transformers.SiglipVisionConfig(
                hidden_size=WIDTH,
                intermediate_size=MLP,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                image_size=size,
                patch_size=patch,
                num_channels=3,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=1e-6,
                attn_implementation="eager",
            )
        )
    )
    pixels = np.random.default_rng(1).standard_normal((2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        channels_first = torch.tensor(pixels.transpose(0, 3, 1, 2))
        expected = theirs(channels_first, output_hidden_states=True).hidden_states[-1].numpy()

    state = {name.removeprefix("vision_model."): x for name, x in numbers(theirs).items()}
    kernel = state["embeddings.patch_embedding.weight"]  # [D, C, patch, patch]
    values = {
        "patch": {
            "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, WIDTH),
            "bias": state["embeddings.patch_embedding.bias"],
        },
        "position": state["embeddings.position_embedding.weight"],
        "blocks": stacked(
            [
                block(
                    state,
                    f"encoder.layers.{k}",
                    out="out_proj",
                    norms={"norm1": "layer_norm1", "norm2": "layer_norm2"},
                )
                for k in range(LAYERS)
            ]
        ),
    }
    spec = VisionSpec(
        block=BlockSpec(
            width=WIDTH, heads=HEADS, mlp=MLP, epsilon=1e-6, parallel=False, causal=False
        ),
        layers=LAYERS,
        patch=patch,
        size=size,
    )
    graph, params = build(lambda: ViT(spec, dtype=jnp.float32, rngs=nnx.Rngs(0)), values)
    run = jax.jit(lambda params, pixels: nnx.merge(graph, params)(pixels))
    assert_close(run(params, pixels), expected, rtol=1e-5)
