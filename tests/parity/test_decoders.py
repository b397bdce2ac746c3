"""Every decoder family computes what transformers computes, from and to its checkpoints."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from chexjax.families import TextFamily, llama, neox, phi
from chexjax.mesh import MeshConfig, make_mesh, parameter_shardings
from chexjax.models import LanguageModel, LoRAConfig, Prefix, add_lora
from chexjax.ops.linear import linears
from chexjax.testing import assert_close
from chexjax.weights import Store, load, load_adapter, save, save_adapter
from chexjax.weights.config import describe

torch = pytest.importorskip("torch", reason="numerical parity needs torch: pip install .[parity]")
transformers = pytest.importorskip("transformers", reason="numerical parity needs transformers")

SIZES = {"layers": 3, "width": 40, "heads": 4, "mlp": 96, "vocabulary": 50}

FAMILIES = {
    "llama": llama.llama("x", **SIZES, kv_heads=2, context=64),
    "llama_tied": llama.llama("x", **SIZES, kv_heads=4, context=64, tied=True, theta=500.0),
    "mistral": llama.llama("x", **SIZES, kv_heads=1, context=64, window=7, model_type="mistral"),
    "phi": TextFamily(
        name="x",
        decoder=phi.decoder(**SIZES, context=64, rotary=4),
        sharding=llama.SHARDING,
        names=phi.NAMES,
        model_type="phi",
    ),
    "neox": neox.neox("x", **SIZES, rotary=6),
}


def theirs(name):
    """Their model, as our description of the family makes it."""
    config = describe(FAMILIES[name], "float32")
    cls = getattr(transformers, config.pop("architectures")[0])
    return cls(cls.config_class(**config, attn_implementation="eager"))


def ours(folder, family):
    graph, shapes = LanguageModel.abstract(family)
    places = parameter_shardings(shapes, family.sharding, make_mesh(MeshConfig()))
    heads = family.decoder.block.heads
    return graph, load(Store(folder), family.names, shapes, places, heads=heads)


@functools.partial(jax.jit, static_argnums=(0, 3))
def logits(graph, params, ids, cut):
    """The first `cut` tokens as a prompt, the rest as its response."""
    model = nnx.merge(graph, params)
    prefix = Prefix(tokens=ids[:, :cut], valid=jax.numpy.ones((len(ids), cut), bool))
    responses = ids[:, None, cut:]
    valid = jax.numpy.ones(responses.shape, bool)
    return model.logits(model.score(prefix, responses, valid))[:, 0]


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_and_checkpoint_are_those_of_transformers(name, randomised, tmp_path):
    family = FAMILIES[name]
    model = randomised(theirs(name))
    model.save_pretrained(tmp_path / "theirs")
    graph, params = ours(tmp_path / "theirs", family)

    ids = np.random.default_rng(0).integers(0, 50, (2, 21))
    with torch.no_grad():
        expected = model(torch.tensor(ids)).logits.numpy()
    assert_close(logits(graph, params, ids, 9), expected[:, 9:], rtol=1e-5)

    save(
        tmp_path / "ours",
        params,
        family.names,
        heads=family.decoder.block.heads,
        config=describe(family, "float32"),
    )
    before, after = (load_file(tmp_path / x / "model.safetensors") for x in ("theirs", "ours"))
    assert before.keys() == after.keys()
    for key in before:
        np.testing.assert_array_equal(after[key], before[key], err_msg=key)
    again = type(model).from_pretrained(tmp_path / "ours", attn_implementation="eager")
    with torch.no_grad():
        np.testing.assert_array_equal(again(torch.tensor(ids)).logits.numpy(), expected)


def test_gradients_are_those_of_transformers(randomised, tmp_path):
    family = FAMILIES["mistral"]
    model = randomised(theirs("mistral"))
    model.save_pretrained(tmp_path)
    graph, params = ours(tmp_path, family)
    ids = np.random.default_rng(1).integers(0, 50, (2, 15))
    weights = np.random.default_rng(2).standard_normal((2, 8, 50)).astype(np.float32)

    model.zero_grad()
    (model(torch.tensor(ids)).logits[:, 7:] * torch.tensor(weights)).sum().backward()
    expected = {key: weight.grad.numpy() for key, weight in model.named_parameters()}
    grads = jax.grad(lambda p: (logits(graph, p, ids, 7) * weights).sum())(params)
    save(
        tmp_path / "grads",
        grads,
        family.names,
        heads=family.decoder.block.heads,
        config={},
    )
    assert_close(load_file(tmp_path / "grads" / "model.safetensors"), expected, rtol=1e-4)


IDS = np.random.default_rng(3).integers(0, 50, (2, 15))
NO_PEFT = "parity of adapters needs peft: pip install .[parity]"


@pytest.fixture(params=["llama", "phi"])
def pair(request, randomised, tmp_path):
    """Their model, ours with the same numbers, and the family."""
    model = randomised(theirs(request.param))
    model.save_pretrained(tmp_path / "base")
    family = FAMILIES[request.param]
    return model, nnx.merge(*ours(tmp_path / "base", family)), family


def their_logits(model):
    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.numpy()[:, 6:]


def our_logits(model):
    return logits(*nnx.split(model), IDS, 6)


def test_peft_computes_the_same_with_our_adapter(pair, tmp_path):
    peft = pytest.importorskip("peft", reason=NO_PEFT)
    base, model, family = pair
    add_lora(model, LoRAConfig(rank=3, alpha=7.0, targets=("decoder/layers@1:",)), seed=0)
    for number, linear in enumerate(linears(model).values()):
        if linear.lora is not None:
            rng = np.random.default_rng(number)
            linear.lora.b[...] = 0.1 * rng.normal(size=linear.lora.b.shape).astype(np.float32)
    save_adapter(tmp_path / "adapter", model, family.names, rank=3, alpha=7.0)
    bare = their_logits(base)
    wrapped = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert np.abs(their_logits(wrapped) - bare).max() > 0.1
    assert_close(our_logits(model), their_logits(wrapped), rtol=1e-5)


def test_we_compute_the_same_with_an_adapter_of_peft(pair, tmp_path):
    peft = pytest.importorskip("peft", reason=NO_PEFT)
    base, model, family = pair
    targets = ["q_proj", "v_proj", "fc1", "down_proj"]
    present = [t for t in targets if any(n.endswith(t) for n, _ in base.named_modules())]
    config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=present, init_lora_weights=False)
    wrapped = peft.get_peft_model(base, config).eval()
    wrapped.save_pretrained(tmp_path / "adapter")
    load_adapter(tmp_path / "adapter", model, family.names)
    assert_close(our_logits(model), their_logits(wrapped), rtol=1e-5)
