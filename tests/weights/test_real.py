"""Trained weights compute what their publishers' code computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from transformers import AutoTokenizer

from chexjax.engine import Sampler, make_generate
from chexjax.families import EncoderFamily, TextFamily, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import Prefix
from chexjax.rng import row_keys
from chexjax.testing import assert_close
from chexjax.weights import load_model


@pytest.fixture(scope="module")
def stories(real_models):
    folder = real_models / "stories260K"
    family = preset("stories260k", TextFamily)
    return folder, load_model(folder, family, mesh=make_mesh(MeshConfig()))


def prefix(ids):
    return Prefix(tokens=jnp.asarray(ids, jnp.int32), valid=jnp.ones(np.shape(ids), bool))


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
    # The beginning-of-text token alone: nothing stands before the last prompt token.
    empty = Prefix(tokens=jnp.zeros((1, 1), jnp.int32), valid=jnp.zeros((1, 1), bool))
    generate = make_generate(model, Sampler(temperature=0.0), end=tokenizer.eos_token_id, limit=256)
    keys = row_keys(0, "test", ["a"], 1)
    written = generate(empty, jnp.asarray([tokenizer.bos_token_id], jnp.int32), keys)
    text = tokenizer.decode(np.asarray(written.tokens[0, 0]), skip_special_tokens=True)
    assert text.strip() == (folder / "expected_greedy.txt").read_text().strip()


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
