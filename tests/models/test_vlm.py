"""The shared-prefix forward, serving, and one plain stream a response are the same function."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.models import KV, VLM, Memory, Prefix
from chexjax.models.init import sincos_table
from chexjax.ops.packing import Packing
from chexjax.testing import assert_close, packed, random_batch, random_policy

FAMILY = preset("chexagent2_nano", Family)
LENGTH = 5
STREAM = 64
"""Room for the longest prompt and response of these tests."""


# The plain model: one stream of prompt and response, written out from the parameters.


def norm(p, x, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / jnp.sqrt(variance + epsilon) * p["scale"] + p["bias"]


def linear(p, x):
    return x @ p["kernel"] + p.get("bias", 0.0)


def turn(x, dims, theta):
    """Rotates the first `dims` of `[T, H, head]` as complex numbers."""
    half = dims // 2
    angle = np.arange(len(x))[:, None, None] * theta ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:dims]) * np.exp(1j * angle)
    return jnp.concatenate([z.real, z.imag, x[..., dims:]], -1)


def attention(p, spec, x):
    q, k, v = (
        linear(p[name], x).reshape(-1, spec.heads, spec.head) for name in ("query", "key", "value")
    )
    if spec.rotary:
        q, k = (turn(y, spec.rotary, spec.theta) for y in (q, k))
    scores = jnp.einsum("thd,shd->hts", q, k) / np.sqrt(spec.head)
    if spec.causal:
        scores = jnp.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -jnp.inf)
    return linear(p["out"], jnp.einsum("hts,shd->thd", jax.nn.softmax(scores), v).reshape(x.shape))


def mlp(p, x):
    x = linear(p["fc1"], x)
    tanh = jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return linear(p["fc2"], 0.5 * x * (1 + tanh))


def block(p, spec, x):
    normed = norm(p["norm1"], x, spec.epsilon)
    attended = attention(p["attention"], spec, normed)
    if spec.layout == "parallel":
        return x + attended + mlp(p["mlp"], normed)
    x = x + attended
    return x + mlp(p["mlp"], norm(p["norm2"], x, spec.epsilon))


def stack(p, spec, layers, x):
    for layer in range(layers):
        x = block(jax.tree.map(lambda leaf, k=layer: leaf[k], p), spec, x)
    return x


def visual_tokens(p, image):
    """One image `u8[S, S, C]`, patch by patch from the top left."""
    vision, side = FAMILY.vision, FAMILY.vision.patch
    pixels = (image / 255.0 - FAMILY.image.mean) / FAMILY.image.std
    corners = [(y, x) for y in range(0, vision.size, side) for x in range(0, vision.size, side)]
    patches = jnp.stack([pixels[y : y + side, x : x + side].reshape(-1) for y, x in corners])
    x = linear(p["vision"]["patch"], patches) + p["vision"]["position"]
    x = stack(p["vision"]["blocks"], vision.block, vision.layers, x)
    bridge = p["connector"]
    x = linear(bridge["fc1"], x + jax.lax.stop_gradient(bridge["table"]))
    x = x * 0.5 * (1 + jax.lax.erf(x / np.sqrt(2)))
    return linear(bridge["project"], norm(bridge["norm"], linear(bridge["fc2"], x), 1e-6))


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def plain(params, images, tokens, visual, cotangent):
    """A stream of `tokens`; where `visual` is k >= 0 it takes the k-th visual token."""
    spec = FAMILY.decoder.block
    seen = jnp.concatenate([visual_tokens(params, image) for image in images])
    p = params["decoder"]
    x = jnp.where(visual[:, None] >= 0, seen[visual], p["embed"]["embedding"][tokens])
    x = block(p["last"], spec, stack(p["body"], spec, FAMILY.decoder.layers - 1, x))
    hidden = norm(p["norm"], x, spec.epsilon)
    return (hidden * cotangent).sum(), hidden


def plain_forward(params, batch, cotangent):
    """Every response in a stream of its own, nothing shared and nothing padded in between."""
    prefix, mask = batch["prefix"], batch["mask"]
    hidden, total = np.zeros(cotangent.shape, np.float32), None
    for b, n in np.ndindex(mask.shape[:2]):
        prompt, answer = prefix["valid"][b], mask[b, n]
        first, length = prompt.sum(), prompt.sum() + answer.sum()
        tokens, visual = np.zeros(STREAM, np.int32), np.full(STREAM, -1)
        tokens[:length] = [*prefix["tokens"][b][prompt], *batch["inputs"][b, n][answer]]
        places = prefix["placeholder"][b][prompt]
        visual[:first][places] = np.arange(places.sum())
        slopes = np.zeros((STREAM, cotangent.shape[-1]), np.float32)
        slopes[first:length] = cotangent[b, n][answer]
        (_, stream), gradient = plain(params, prefix["images"][b], tokens, visual, slopes)
        hidden[b, n][answer] = stream[first:length]
        total = gradient if total is None else jax.tree.map(jnp.add, total, gradient)
    return hidden, total


# The paths of the package.


def by_score(model, batch):
    return model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])


def by_packing(model, batch):
    """The real tokens of responses alone; two groups of two rows, as on two devices."""
    packing = Packing.of(batch["mask"], batch["rows"])
    hidden = model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"], packing)
    return packing.unpack(hidden, batch["mask"].shape)


def by_extend(model, batch):
    model, chain, own = begun(model, batch)
    return model.extend(batch["inputs"], chain, own)[0]


def by_single_tokens(model, batch):
    (model, chain, own), hidden = begun(model, batch), []
    for t in range(LENGTH):
        new, own = model.extend(batch["inputs"][..., t : t + 1], chain, own)
        own = dataclasses.replace(own, length=own.length + 1)
        hidden.append(new)
    return jnp.concatenate(hidden, axis=-2)


def begun(model, batch):
    """The model as it is served, the prompts in its memory, and room for the responses."""
    prefix, shape, spec = Prefix(**batch["prefix"]), batch["inputs"].shape, model.decoder.spec
    length, model = prefix.length, model.unrolled()

    def empty(batch, room, start):
        kv = KV.empty(spec.block, spec.layers, batch, room, jnp.float32)
        return Memory(kv, jnp.broadcast_to(start, batch), jnp.zeros(batch, jnp.int32))

    read = model.prefill(prefix, (), empty(length.shape, prefix.tokens.shape[1], 0))
    own = empty(shape[:2], shape[2], length[:, None])
    return model, [dataclasses.replace(read, length=length)], own


def values_and_gradients(path, model, batch, cotangent):
    """Hidden states at real tokens, and the gradient of their product with `cotangent`."""
    graph, params = nnx.split(model)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def run(params, batch):
        hidden = path(nnx.merge(graph, params), batch) * batch["mask"][..., None]
        return (hidden * cotangent).sum(), hidden

    (_, hidden), gradient = run(params, batch)
    return hidden, nnx.to_pure_dict(gradient)


def weights_for(batch):
    shape = (*batch["mask"].shape, FAMILY.decoder.block.width)
    return np.random.default_rng(5).standard_normal(shape, np.float32) * batch["mask"][..., None]


@pytest.fixture(scope="module")
def model():
    return random_policy(FAMILY)


@pytest.mark.parametrize("responses", [1, 2, 4])
def test_score_packed_or_not_equals_extend_equals_a_stream_for_each_response(model, responses):
    batch = random_batch(FAMILY, images=(0, 1, 2, 1), responses=responses, length=LENGTH)
    batch = packed(batch, groups=2)
    cotangent = weights_for(batch)
    params = nnx.to_pure_dict(nnx.state(model))
    hidden, gradient = plain_forward(params, batch, cotangent)
    for path in (by_score, by_packing, by_extend):
        actual = values_and_gradients(path, model, batch, cotangent)
        assert_close(actual[0], hidden, rtol=1e-5)
        # atol: a bias of the tower's keys moves all scores of a query alike, so it has no gradient.
        assert_close(actual[1], gradient, rtol=1e-4, atol=1e-5)


def test_token_by_token_equals_score(model):
    batch = random_batch(FAMILY, images=(2, 0), responses=2, length=LENGTH)
    graph, params = nnx.split(model)

    @functools.partial(jax.jit, static_argnums=0)
    def run(path, params):
        return path(nnx.merge(graph, params), batch) * batch["mask"][..., None]

    assert_close(run(by_single_tokens, params), run(by_score, params), rtol=1e-5)


def test_padding_never_changes_a_value(model):
    """Longer padding, and other ids and pixels in it."""
    batch = random_batch(FAMILY, images=(1, 0, 2), responses=2, length=LENGTH)
    rng = np.random.default_rng(3)

    def junk(array, valid, by):
        width = [(0, 0)] * (array.ndim - 1) + [(0, by)]
        ids = rng.integers(0, FAMILY.decoder.vocabulary, array.shape[:-1] + (array.shape[-1] + by,))
        return np.where(np.pad(valid, width), np.pad(array, width), ids).astype(np.int32)

    prefix, mask = batch["prefix"], batch["mask"]
    images = np.concatenate([prefix["images"], prefix["images"][:, ::-1]], axis=1)
    images[0, 1] = 255 - images[0, 1]
    longer = {
        "prefix": {
            "images": images,
            "tokens": junk(prefix["tokens"], prefix["valid"], 7),
            "placeholder": np.pad(prefix["placeholder"], ((0, 0), (0, 7))),
            "valid": np.pad(prefix["valid"], ((0, 0), (0, 7))),
        },
        "inputs": junk(batch["inputs"], mask, 3),
        "mask": np.pad(mask, ((0, 0), (0, 0), (0, 3))),
    }
    graph, params = nnx.split(model)
    run = jax.jit(lambda params, batch: by_score(nnx.merge(graph, params), batch))
    kept = {name: batch[name] for name in longer}
    assert_close(
        np.asarray(run(params, longer))[..., :LENGTH, :][mask],
        np.asarray(run(params, kept))[mask],
        rtol=1e-5,
    )


def test_rematerialisation_changes_neither_values_nor_gradients():
    batch = random_batch(FAMILY, images=(1, 2), responses=2, length=LENGTH)
    plain, *others = (
        values_and_gradients(by_score, random_policy(FAMILY, remat=r), batch, weights_for(batch))
        for r in ("none", "matmuls", "offload", "block")
    )
    for other in others:
        assert_close(other, plain, rtol=1e-6, atol=1e-6)


def test_building_the_model_allocates_nothing():
    shapes = VLM.abstract(preset("chexagent2_tiny", Family))[1]
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(shapes))


def test_the_sine_cosine_table_by_hand():
    """Width 8: two frequencies, 1 and 0.01; column first, then row; sines, then cosines."""
    table = sincos_table(2, 8)
    assert table.shape == (4, 8)
    origin, at_one = [0, 0, 1, 1], [np.sin(1), np.sin(0.01), np.cos(1), np.cos(0.01)]
    np.testing.assert_allclose(table[0], [*origin, *origin], atol=1e-7)
    np.testing.assert_allclose(table[1], [*at_one, *origin], rtol=1e-6)  # one to the right
    np.testing.assert_allclose(table[2], [*origin, *at_one], rtol=1e-6)  # one down
