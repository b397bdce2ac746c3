"""The benchmark compares like with like, and says what it measured."""

import functools
import os
import signal

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.losses import DPO, Responses
from chexjax.mesh import path_name
from chexjax.perf import work as work_of
from chexjax.perf.align import useful_flops
from chexjax.perf.bench import MATMUL_FLOPS, PeerError, alternate, matmul_step
from chexjax.perf.work import SIZES, Work
from chexjax.testing import assert_close, random_policy
from chexjax.train.objectives import response_logprobs
from chexjax.weights.names import slots
from tests.perf.sleeper import sleeper

TOY = Work(vision=(2, 16, 2, 16, 8), decoder=(3, 16, 2, 4), chosen=(5, 3), rejected=(4, 6))


@pytest.fixture(scope="module")
def peer():
    """The torch peer with random parameters, and ours with the same ones."""
    pytest.importorskip("torch", reason="the peer needs torch: CHEXJAX_EXTRAS=bench")
    from chexjax.perf.peers.torch_align import Policy, Tower

    ours = random_policy(work_of.family(TOY))
    params = nnx.to_pure_dict(nnx.state(ours))
    tower, policy = Tower(TOY), Policy(TOY)
    kernel = params["vision"]["patch"].pop("kernel").reshape(8, 8, 3, 16)
    put(tower.patch, {"kernel": kernel.reshape(-1, 16), **params["vision"]["patch"]}, conv=True)
    tower.position.data = tensor(params["vision"]["position"])
    for number, layer in enumerate(tower.layers):
        put_layer(layer, jax.tree.map(lambda x, k=number: x[k], params["vision"]["blocks"]))
    decoder = params["decoder"]
    bodies = [jax.tree.map(lambda x, k=k: x[k], decoder["body"]) for k in range(2)]
    for layer, ours_of in zip(policy.layers, [*bodies, decoder["last"]], strict=True):
        put_layer(layer, ours_of)
    put(policy.connector[0], params["connector"]["fc1"])
    put(policy.connector[2], params["connector"]["fc2"])
    policy.embed.weight.data = tensor(decoder["embed"]["embedding"])
    put(policy.norm, decoder["norm"])
    put(policy.head, decoder["head"])
    return ours, tower, policy


def tensor(x):
    import torch

    return torch.tensor(np.asarray(x))


def put(module, values, *, conv=False):
    """Copies one layer's parameters."""
    weight = np.asarray(values["scale"] if "scale" in values else values["kernel"].T)
    if conv:  # ours reads a patch row by row, channels last
        weight = weight.reshape(16, 8, 8, 3).transpose(0, 3, 1, 2)
    assert module.weight.shape == weight.shape
    module.weight.data = tensor(weight)
    if "bias" in values:
        module.bias.data = tensor(values["bias"])


def put_layer(layer, values):
    attention = values["attention"]
    parts = [attention[name] for name in ("query", "key", "value")]
    put(layer.qkv, jax.tree.map(lambda *x: np.concatenate(x, -1), *parts))
    put(layer.out, attention["out"])
    put(layer.fc1, values["mlp"]["fc1"])
    put(layer.fc2, values["mlp"]["fc2"])
    put(layer.norm1, values["norm1"])
    if layer.norm2 is not None:
        put(layer.norm2, values["norm2"])


def test_the_torch_peer_computes_what_we_compute(peer):
    import torch

    from chexjax.perf.peers.torch_align import _tensors

    ours, tower, policy = peer
    batch = work_of.batch(TOY, seed=3)
    graph, params = nnx.split(ours)
    expected = jax.jit(lambda p, b: response_logprobs(nnx.merge(graph, p), b).sum(-1))(
        params, batch
    )
    with torch.no_grad():
        images = torch.tensor(batch["prefix"]["images"][:, 0]).permute(0, 3, 1, 2)
        features = tower((images.float() / 255 - 0.5) / 0.5)
        theirs = policy(features, _tensors(batch))
    assert_close(theirs.numpy(), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def our_loss():
    """Parameters of a policy and of a reference, a batch, and our DPO loss of it."""
    pytest.importorskip("trl", reason="the peer needs TRL: CHEXJAX_EXTRAS=bench")
    models = [random_policy(work_of.family(TOY), seed=seed) for seed in (1, 2)]
    batch = work_of.batch(TOY, seed=3)
    graph, _ = nnx.split(models[0])
    score = jax.jit(lambda p, b: response_logprobs(nnx.merge(graph, p), b))
    policy, reference = (nnx.state(model) for model in models)
    responses = Responses(
        logps=score(policy, batch),
        ref_logps=score(reference, batch),
        mask=batch["mask"],
        valid=batch["real"],
        rewards=batch["rewards"],
    )
    return policy, reference, batch, float(DPO(beta=work_of.BETA)(responses).value.mean())


def as_llava(params):
    """Our parameters by the names that transformers' LLaVA gives them."""
    flat = {path_name(p): x for p, x in jax.tree_util.tree_leaves_with_path(params)}
    places = slots(work_of.NAMES, {path: x.shape for path, x in flat.items()})
    rows = {at.key: flat[at.path] if at.layer is None else flat[at.path][at.layer] for at in places}
    return {at.key: tensor(at.theirs(np.asarray(rows[at.key]))) for at in places}


@pytest.mark.parametrize("compact", [False, True])
def test_trl_computes_our_loss(our_loss, compact, monkeypatch):
    """At the same parameters, whether its head reads all positions or the responses' alone."""
    import trl

    from chexjax.perf.peers.trl_align import make_trainer, prepare

    code, scored = trl.trainer.utils, set()
    head = code._ChunkedLogProbFunction.apply
    monkeypatch.setattr(code, "_use_triton", code._use_triton)  # to be put back after the test
    monkeypatch.setattr(
        code._ChunkedLogProbFunction, "apply", lambda x, *rest: scored.add(len(x)) or head(x, *rest)
    )
    policy, reference, batch, expected = our_loss
    trainer = make_trainer(TOY, compact=compact)
    for model, params in ((trainer.model, policy), (trainer.ref_model, reference)):
        missing, unknown = model.load_state_dict(as_llava(params), strict=False)
        assert not unknown and all("post_layernorm" in key for key in missing)
    assert not trainer.model.model.vision_tower.embeddings.patch_embedding.weight.requires_grad
    loss = trainer.compute_loss(trainer.model, prepare(batch)).item()
    assert abs(expected - np.log(2)) > 0.01  # what any parameters give where both are the same
    assert loss == pytest.approx(expected, abs=1e-5)
    longest = TOY.prefix + max(TOY.chosen + TOY.rejected)
    assert scored == {TOY.tokens if compact else 2 * TOY.pairs * (longest - 1)}


def test_the_sizes_are_the_published_ones():
    """Pairs, prefix tokens, response tokens, and the counted work of a step in GFLOP."""
    found = {name: (work.pairs, work.prefix, work.tokens) for name, work in SIZES.items()}
    assert found == {"S": (8, 96, 1792), "M": (4, 288, 896), "L": (2, 608, 448)}
    for size, cached, gflop in (("S", False, 260), ("M", False, 557), ("L", False, 1074)):
        assert useful_flops(size, cached=cached) / 1e9 == pytest.approx(gflop, rel=0.05)


def broken():
    raise OSError("no such library")


def killed():
    """A peer that the kernel ends in its second step, as it does where memory runs out."""
    return lambda number: number and os.kill(os.getpid(), signal.SIGKILL)


def test_peers_are_timed_one_by_one():
    peers = {"fast": functools.partial(sleeper, 0.01), "slow": functools.partial(sleeper, 0.05)}
    ours = np.ones(2**27)  # a gibibyte, which is none of theirs
    found, failed = alternate(peers, rounds=3)
    assert not failed
    assert all(timing.peak < ours.nbytes for timing in found.values())
    assert [len(found[name].seconds) for name in peers] == [3, 3]
    assert 0.01 <= found["fast"].median < 0.05 <= found["slow"].median
    assert found["fast"].first >= 0.01 and found["slow"].peak > 2**20


def test_the_yardstick_multiplies_matrices():
    """As many as it says; of a matrix of 1 / side every power is that matrix."""
    product = matmul_step()(0)
    assert product.dtype == np.float32 and 4 * product.shape[0] ** 3 == MATMUL_FLOPS
    assert_close(np.asarray(product), np.full(product.shape, 1 / product.shape[0], np.float32))


def test_the_others_go_on_where_a_peer_fails():
    peers = {"odd": broken, "large": killed, "ours": functools.partial(sleeper, 0.01)}
    found, failed = alternate(peers, rounds=2, needed=["ours"])
    assert list(found) == ["ours"] and len(found["ours"].seconds) == 2
    assert failed == {
        "odd": "odd failed: OSError: no such library",
        "large": "large was killed, most likely because memory ran out",
    }


def test_nobody_goes_on_without_the_one_that_the_others_are_held_against():
    peers = {"ours": broken, "other": functools.partial(sleeper, 0.01)}
    with pytest.raises(PeerError, match="ours failed: OSError: no such library"):
        alternate(peers, rounds=2, needed=["ours"])
