"""Judges are measured on the same work, and what each of them writes is kept beside its time."""

import importlib

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.mesh import MeshConfig, make_mesh
from chexjax.perf import flops, jax_judge, judge_work
from chexjax.perf.installed import absent
from chexjax.perf.judge_work import SIZES, WORKS, Size, Work
from chexjax.perf.judges import PEERS
from chexjax.weights import load_model

TOY = Size(layers=2, width=64, heads=2, mlp=96, vocabulary=96)
FEW = Work(
    requests=4, candidates=2, preamble=40, reference=9, between=3, candidate=7, after=5, new=12
)
"""Its preamble is longer than vLLM's blocks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The toy's checkpoint."""
    made = tmp_path_factory.mktemp("judge")
    jax_judge.write_checkpoint(made, judge_work.family(TOY, FEW))
    return made


@pytest.fixture(scope="module")
def written(folder):
    """What we write, twice."""
    write = jax_judge.make_writer(folder, TOY, FEW)
    return write(), write()


@pytest.fixture(scope="module")
def whole():
    """What anybody would write who reads each prompt from its first token to its last."""
    torch = pytest.importorskip("torch", reason="the reference needs torch: CHEXJAX_EXTRAS=bench")
    from transformers import LlamaForCausalLM

    def write(folder):
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ids = torch.tensor(judge_work.prompts(FEW, TOY.vocabulary).whole()).long()
        with torch.inference_mode():
            for _ in range(FEW.new):
                following = model(ids, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
                ids = torch.cat([ids, following], 1)
        return ids[:, FEW.prompt :].numpy()

    return write


def test_our_answers_are_those_of_whole_prompts(folder, written, whole):
    first, again = written
    assert first.shape == (FEW.requests, FEW.new) and (first == again).all()
    assert (first == whole(folder)).all()
    assert len({tuple(row) for row in first.tolist()}) == FEW.requests  # or rows could be swapped


@pytest.mark.parametrize("name", list(PEERS))
def test_a_peer_writes_what_we_write(folder, written, name):
    if how := absent([name]).get(name):
        pytest.skip(f"{name} is not installed: {how}")
    if name == "llamacpp":
        from chexjax.perf.judge_gguf import write_gguf

        write_gguf(folder, judge_work.family(TOY, FEW))
    peer = importlib.import_module(f"chexjax.perf.peers.{name}_judge")
    write = peer.make_writer(folder, TOY, FEW)
    assert (write() == written[0]).all()
    assert (write() == written[0]).all()  # nothing of the step before is in the way


def test_gguf_has_the_same_parameters(folder):
    pytest.importorskip("gguf", reason="the file is written with gguf: CHEXJAX_EXTRAS=gguf")
    from chexjax.perf.judge_gguf import write_gguf

    family, mesh = judge_work.family(TOY, FEW), make_mesh(MeshConfig())
    file = write_gguf(folder, family)
    models = (load_model(path, family, mesh=mesh) for path in (folder, file))
    ours, theirs = (nnx.state(model) for model in models)
    for mine, read in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (np.asarray(mine) == np.asarray(read)).all()


def test_the_work_is_the_published_one():
    """Prompt tokens as asked and with shared ones read once, new tokens; judges' parameters."""
    found = {name: (w.asked, w.distinct, w.written) for name, w in WORKS.items()}
    green = 284 + 8 * (100 + 13) + 32 * (100 + 247)
    assert found["prefix"] == (26_240, 4_760, 5_120)
    assert found["green"] == (32 * (284 + 100 + 13 + 100 + 247), green, 32 * 443)
    shapes = {name: (s.layers, s.width, s.heads, s.mlp, s.vocabulary) for name, s in SIZES.items()}
    assert shapes == {
        "S": (4, 256, 4, 704, 32_000),
        "M": (8, 512, 8, 1408, 32_000),
        "L": (12, 768, 12, 2048, 32_000),
    }


def test_prompts_share_what_they_are_said_to_share():
    work = WORKS["green"]
    ids = judge_work.prompts(work, 32_000).whole().reshape(8, 4, work.prompt)
    same = (ids == ids[:1, :1]).all((0, 1))
    alike = (ids == ids[:, :1]).all((0, 1))
    ends = np.cumsum([284, 100, 13, 100, 247])
    expected = np.zeros(work.prompt, bool)
    expected[: ends[0]] = expected[ends[1] : ends[2]] = expected[ends[3] :] = True
    assert (same == expected).all()
    expected[ends[0] : ends[1]] = True
    assert (alike == expected).all()
    assert ids.min() >= 10 and ids.max() < 32_000
    assert (ids == judge_work.prompts(work, 32_000).whole().reshape(ids.shape)).all()


def test_the_count_is_that_of_a_loop_over_tokens():
    """Every token that must be computed, one by one."""
    family, block = judge_work.family(TOY, FEW), judge_work.family(TOY, FEW).decoder.block
    linear = 2 * (4 * block.width**2 + 3 * block.width * block.mlp)
    layer = {at: linear + 4 * block.width * (at + 1) for at in range(FEW.prompt + FEW.new)}
    kv, head = 4 * block.width**2, 2 * block.width * TOY.vocabulary
    total = 0
    for at in range(FEW.prompt - 1):  # read: one layer fully, of the other keys and values
        times = 1 if at < 40 else 2 if at < 52 else 4
        total += times * (layer[at] + kv)
    for at in range(FEW.prompt - 1, FEW.prompt - 1 + FEW.new):
        total += 4 * (2 * layer[at] + head)
    assert judge_work.useful_flops(TOY, FEW) == total
    assert flops.matmul_parameters(family) == 2 * linear // 2 + head // 2


def test_bytes_are_parameters_and_what_is_looked_back_on():
    """One token for each of two requests that share all of their prompts but a token."""
    work = Work(requests=2, candidates=2, preamble=5, reference=3, candidate=1, new=1)
    parameters = flops.matmul_parameters(judge_work.family(TOY, work))
    seen = (5 + 3 + 2) * 2 * TOY.layers * TOY.width
    assert judge_work.useful_bytes(TOY, work) == 4 * (2 * parameters + seen)


def test_groups_are_whole():
    with pytest.raises(ValueError, match=r"requests=6 must be a multiple of candidates=4"):
        Work(requests=6, preamble=1, reference=1, candidate=1, new=1)
