"""For every kind of policy and language model: what is trained is what is served."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, TextFamily, llama, neox, phi, preset
from chexjax.models import KV, Memory, Prefix
from chexjax.testing import assert_close, random_batch, random_model

SIZES = {"layers": 3, "width": 32, "heads": 4, "mlp": 48, "vocabulary": 768}
NANO = preset("chexagent_nano", Family)


def windowed(family, window):
    block = dataclasses.replace(family.decoder.block, window=window)
    return dataclasses.replace(family, decoder=dataclasses.replace(family.decoder, block=block))


FAMILIES = {
    "chexagent2": preset("chexagent2_nano", Family),
    # A window that is shorter than a prompt, and yet reaches its images from the response.
    "chexagent": windowed(NANO, 12),
    "llama_grouped": llama.llama("x", **SIZES, kv_heads=2, context=64),
    "llama_tied": llama.llama("x", **SIZES, kv_heads=4, context=64, tied=True),
    "mistral_window": llama.llama("x", **SIZES, kv_heads=1, context=64, window=5),
    "phi": TextFamily(
        name="x",
        decoder=phi.decoder(**SIZES, context=64, rotary=4),
        sharding=phi.SHARDING,
        names=phi.NAMES,
    ),
    "neox": neox.neox("x", **SIZES, rotary=6),
}


def make_case(family, responses=2):
    """Ragged responses to three studies of no, one and two images, or to three texts."""
    shown = (0, 1, 2) if isinstance(family, Family) else (0, 0, 0)
    like = family if isinstance(family, Family) else NANO
    batch = random_batch(like, images=shown, responses=responses, length=3)
    if like is not family:
        batch["prefix"] = {key: batch["prefix"][key] for key in ("tokens", "valid")}
    graph, params = nnx.split(random_model(family))
    return graph, params, {key: batch[key] for key in ("prefix", "inputs", "mask")}


def score(model, batch):
    """The training forward: logits at real tokens, 0 at others."""
    hidden = model.score(Prefix(**batch["prefix"]), batch["inputs"], batch["mask"])
    return jnp.where(batch["mask"][..., None], model.logits(hidden), 0.0)


def decode(model, batch):
    """The same, one token at a time from memory."""
    model, prefix, own = begun(model, batch)
    chain, out = [prefix], []
    for t in range(batch["inputs"].shape[-1]):
        hidden, own = model.extend(batch["inputs"][..., t : t + 1], chain, own)
        own = dataclasses.replace(own, length=own.length + 1)
        out.append(model.logits(hidden))
    return jnp.where(batch["mask"][..., None], jnp.concatenate(out, axis=-2), 0.0)


def begun(model, batch):
    """The model as it is served, the prompts in its memory, and room for the responses."""
    model, prefix = model.unrolled(), Prefix(**batch["prefix"])
    shape, length = batch["inputs"].shape, prefix.length
    read = model.prefill(prefix, (), empty(model, length.shape, prefix.tokens.shape[1] + 3))
    own = empty(model, shape[:2], shape[2] + 2)
    start = jnp.broadcast_to(length[:, None], shape[:2])
    return model, dataclasses.replace(read, length=length), dataclasses.replace(own, start=start)


def empty(model, batch, room):
    spec = model.decoder.spec
    kv = KV.empty(spec.block, spec.layers, batch, room, jnp.float32)
    return Memory(kv, jnp.zeros(batch, jnp.int32), jnp.zeros(batch, jnp.int32))


def separate(model, batch):
    """The same, each response in a forward pass of its own prompt and images: nothing is shared."""
    mask = batch["mask"]
    stream, back = streams(batch)
    prefix = Prefix(**stream)
    x = model._show(prefix, model.decoder.embed(prefix.tokens))
    model = model.unrolled()
    memory = empty(model, x.shape[:1], x.shape[1])
    hidden, _ = model.decoder.extend(x, (), memory)
    answers = jnp.take_along_axis(hidden, back[..., None], axis=1)
    logits = model.logits(answers.reshape(*mask.shape, -1))
    return jnp.where(mask[..., None], logits, 0.0)


def streams(batch):
    """A row for each response, with no padding in it; and where its tokens stand in the row."""
    responses, length = batch["mask"].shape[1:]
    rows = {key: np.repeat(x, responses, axis=0) for key, x in batch["prefix"].items()}
    inputs, mask = (batch[key].reshape(-1, length) for key in ("inputs", "mask"))
    behind = {"tokens": inputs, "valid": mask, "placeholder": np.zeros_like(mask)}
    joined = {key: np.concatenate([rows[key], behind[key]], 1) for key in behind if key in rows}
    order = np.argsort(~joined["valid"], axis=1, kind="stable")
    compact = {key: np.take_along_axis(x, order, axis=1) for key, x in joined.items()}
    return rows | compact, np.argsort(order, axis=1)[:, -length:]


def values(path, graph, params, batch):
    return jax.jit(lambda params: path(nnx.merge(graph, params), batch))(params)


@pytest.mark.parametrize("name", FAMILIES)
def test_decoding_token_by_token_equals_the_training_forward(name):
    case = make_case(FAMILIES[name])
    decoded, scored = values(lambda *x: (decode(*x), score(*x)), *case)
    assert_close(decoded, scored, rtol=1e-5)


def test_responses_side_by_side_equal_separate_forwards_values_and_gradients():
    """CheXagent-2's are compared with a plain model of their own, in `test_vlm.py`."""
    graph, params, batch = make_case(FAMILIES["chexagent"], responses=4)
    weights = np.random.default_rng(0).standard_normal((*batch["mask"].shape, 768), np.float32)

    def run(path):
        def loss(params):
            logits = path(nnx.merge(graph, params), batch)
            return (logits * weights).sum(), logits

        (_, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
        return logits, gradient

    together, apart = run(score), run(separate)
    assert_close(together[0], apart[0], rtol=1e-5)
    # atol: a bias of keys moves all scores of a query alike, so it has no gradient.
    assert_close(together[1], apart[1], rtol=1e-4, atol=1e-5)


def test_a_window_shorter_than_the_sequence_is_felt():
    """Or the tests above would compare two models without one."""
    family = FAMILIES["mistral_window"]
    cases = [make_case(family), make_case(windowed(family, None))]
    narrow, broad = (values(score, *case) for case in cases)
    assert np.abs(np.asarray(narrow) - np.asarray(broad)).max() > 1e-2


def test_an_empty_slot_changes_nothing():
    graph, params, batch = make_case(NANO)
    images = batch["prefix"]["images"]
    model = nnx.merge(graph, params)
    run = jax.jit(lambda images: model.encode_images(images))
    single = run(images[1:2, :1])
    padded = run(np.concatenate([images[1:2, :1], np.zeros_like(images[1:2, :1])], axis=1))
    assert_close(padded, single, rtol=1e-5)
    assert np.abs(np.asarray(run(images[2:3])) - np.asarray(single)).max() > 1e-2


def test_a_served_model_keeps_its_matrices_as_it_multiplies_them():
    """In bfloat16 they take half the bytes, and not one bit of what is said is another."""
    model = random_model(FAMILIES["chexagent2"], dtype=jnp.bfloat16)
    wide = nnx.clone(model)
    wide.decoder.unroll()
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 32, 32, 1), np.uint8)

    def say(model):
        graph, params = nnx.split(model)

        @jax.jit
        def run(params):
            model = nnx.merge(graph, params)
            hidden, _ = model.extend(jnp.arange(6)[None], (), empty(model, (1,), 8))
            return model.logits(hidden), model.encode_images(images)

        return run(params), params

    said, params = say(model.unrolled())
    expected, before = say(wide)
    jax.tree.map(np.testing.assert_array_equal, said, expected)
    matrices = [x for x in jax.tree.leaves(params) if x.ndim > 1 and x.dtype == jnp.bfloat16]
    whole = [x for x in jax.tree.leaves(before) if x.ndim > 1]
    assert sum(x.nbytes for x in matrices) > 0.45 * sum(x.nbytes for x in whole)
