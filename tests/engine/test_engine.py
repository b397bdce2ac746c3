"""What the engine writes is what the model's training forward says, whatever runs beside it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chexjax.engine import Engine, EngineConfig, Full, Likely, Request, Sampler
from chexjax.engine.shapes import bucket, pieces
from chexjax.families import llama
from chexjax.models import Prefix
from chexjax.testing import assert_close, random_model

FAMILY = llama.llama(
    "x", layers=3, width=32, heads=4, kv_heads=2, mlp=48, vocabulary=128, context=256
)
CONFIG = EngineConfig(slots=8, steps=4, chunk=32)
PREAMBLE = np.random.default_rng(9).integers(0, 128, 37).tolist()
NOTHING = Prefix(np.zeros((1, 1), np.int32), np.zeros((1, 1), bool))


@pytest.fixture(scope="module")
def model():
    return random_model(FAMILY)


@pytest.fixture(scope="module")
def engine(model):
    """An engine with a preamble, idle between tests."""
    return Engine(model, CONFIG, PREAMBLE)


@pytest.fixture(scope="module")
def teacher(model):
    """Log-probabilities of the training forward behind each token of a text, `f32[T, V]`."""
    graph, params = nnx.split(model)

    @jax.jit
    def run(params, tokens, valid):
        model = nnx.merge(graph, params)
        hidden = model.score(NOTHING, tokens[None, None], valid[None, None])
        return jax.nn.log_softmax(model.logits(hidden)[0, 0])

    def logps(tokens):
        padded = np.zeros(FAMILY.decoder.context, np.int32)
        padded[: len(tokens)] = tokens
        valid = np.arange(len(padded)) < len(tokens)
        return np.asarray(run(params, padded, valid))[: len(tokens)]

    return logps


def ids(seed, length):
    return np.random.default_rng(seed).integers(0, 128, length).tolist()


def request(seed, rows=(5, 9), prefix=20, limit=9, **more):
    """A judge's question: a preamble, what rows share, and what is their own."""
    own = [ids((seed, k), length) for k, length in enumerate(rows)]
    return Request(prefix=PREAMBLE + ids(seed, prefix), rows=own, limit=limit, **more)


def written(engine, *requests):
    completions = dict(engine.run(requests))
    assert engine.idle
    return [completions[k] for k in range(len(requests))]


def check(teacher, asked, completions, rtol=1e-5):
    """Every token is the likeliest behind what stands before, with that log-probability."""
    for row, completion in zip(asked.rows, completions, strict=True):
        prompt = [*asked.prefix, *row]
        logps = teacher([*prompt, *completion.tokens])[len(prompt) - 1 : -1]
        np.testing.assert_array_equal(logps.argmax(-1), completion.tokens)
        assert_close(np.asarray(completion.logps), logps.max(-1), rtol=rtol)


@pytest.mark.parametrize(
    "asked",
    [
        request(0),
        request(1, rows=(1,), prefix=70),  # read in three chunks
        request(2, rows=(40, 3, 33), prefix=0),  # rows of two chunks, right behind the preamble
        Request(prefix=ids(3, 30), rows=[(), ()], limit=9),  # without the preamble
        Request(prefix=[], rows=[ids(4, 12)], limit=9),
    ],
    ids=["both", "long_prefix", "long_rows", "no_preamble", "rows_alone"],
)
def test_greedy_is_what_the_training_forward_says(engine, teacher, asked):
    [completions] = written(engine, asked)
    assert [one.finish for one in completions] == ["length"] * len(asked.rows)
    assert {len(one.tokens) for one in completions} == {9}
    check(teacher, asked, completions)


def test_rows_that_share_a_prefix_are_those_of_requests_of_their_own(engine):
    sampler = Sampler(temperature=0.8, top_p=0.9)
    together = request(0, rows=(5, 9, 7), sampler=sampler, seeds=(1, 2, 3))
    [rows] = written(engine, together)
    for k, row in enumerate(together.rows):
        one = dataclasses.replace(together, rows=[row], seeds=[k + 1])
        [[alone]] = written(engine, one)
        assert alone.tokens == rows[k].tokens
        assert_close(np.asarray(alone.logps), np.asarray(rows[k].logps), rtol=1e-5)


@pytest.mark.parametrize("sampler", [Sampler(temperature=0.0), Sampler(top_k=40)])
def test_a_request_does_not_feel_its_neighbours(engine, sampler):
    """Bit by bit, alone or among 63 others that come and go, drawn in other ways."""

    def asked(seed):
        own = sampler if seed == 0 else Sampler(temperature=seed % 3, top_p=1 - seed / 200)
        return request(seed, limit=5 + 7 * (seed % 3), sampler=own, seeds=(seed, 2**63 + seed))

    others = [asked(seed) for seed in range(1, 64)]
    [alone] = written(engine, asked(0))
    crowd = written(engine, *others[:31], asked(0), *others[31:])
    assert crowd[31] == alone


def test_a_row_ends_where_it_is_told_to(engine):
    [free] = written(engine, request(5, limit=14))
    tokens = free[0].tokens
    end = tokens[5]
    first = tokens.index(end) + 1
    [[ended, _]] = written(engine, request(5, limit=14, end=(end,)))
    assert ended.tokens == tokens[:first] and ended.finish == "stop"
    assert ended.logps == free[0].logps[:first]

    def stop(tokens):
        return 6 if len(tokens) >= 6 else None

    for one, whole in zip(written(engine, request(5, limit=14, stop=stop))[0], free, strict=True):
        assert one.tokens == whole.tokens[:6] and one.finish == "stop"


def test_seeds_decide_what_is_drawn(engine):
    drawn = [
        written(engine, request(6, sampler=Sampler(), seeds=seeds))[0]
        for seeds in ((1, 2), (1, 2), (3, 2), (1 + 2**40, 2))
    ]
    assert drawn[0] == drawn[1]
    assert len({rows[0].tokens for rows in drawn}) == 3
    assert {rows[1].tokens for rows in drawn} == {drawn[0][1].tokens}


def test_log_probs_are_of_the_model_not_of_the_sampler(engine, teacher):
    asked = request(7, sampler=Sampler(temperature=0.5, top_k=4), seeds=(1, 2))
    for row, one in zip(asked.rows, written(engine, asked)[0], strict=True):
        prompt = [*asked.prefix, *row]
        logps = teacher([*prompt, *one.tokens])[len(prompt) - 1 : -1]
        chosen = np.take_along_axis(logps, np.asarray(one.tokens)[:, None], 1)
        assert_close(np.asarray(one.logps), chosen[:, 0], rtol=1e-5)
        assert ((logps > chosen).sum(-1) < 4).all()


def test_what_is_given_up_is_reported_and_its_slots_are_free(engine):
    tickets = [engine.submit(request(seed, limit=30)) for seed in range(9)]  # two fit at once
    seen = engine.step()
    assert {one.ticket for one in seen} == set(tickets[:2])
    for ticket in (tickets[1], tickets[7], 10**6):
        engine.cancel(ticket)
    while not engine.idle:
        seen += engine.step()
    finishes = {(w.ticket, w.row): w.finish for w in seen if w.finish}
    assert len(finishes) == 18
    for (ticket, _), finish in finishes.items():
        assert finish == ("cancelled" if ticket in (tickets[1], tickets[7]) else "length")
    [alone] = written(engine, request(2, limit=30))
    told = [w.tokens for w in seen if w.ticket == tickets[2] and w.row == 0]
    assert sum(told, ()) == alone[0].tokens


def test_nothing_is_compiled_twice(engine):
    """Other lengths within a bucket, other samplers, other numbers of requests: one program."""
    written(engine, request(8, rows=(5, 9), prefix=20))
    with jax.log_compiles(False):
        before = compiled(engine)
        asked = [request(k, rows=(2 + k % 9, 12), prefix=17 + k % 15, limit=8) for k in range(11)]
        written(engine, *asked)
        assert compiled(engine) == before


def test_a_second_engine_compiles_nothing(model, engine):
    """Of the same shapes, whatever its parameters are: theirs are arguments, not constants."""
    asked = request(8, rows=(5, 9), prefix=20)
    [first] = written(engine, asked)
    before = compiled(engine)
    assert written(Engine(model, CONFIG, PREAMBLE), asked) == [first]
    other = random_model(FAMILY, seed=1)
    assert written(Engine(other, CONFIG, PREAMBLE), asked) != [first]
    assert compiled(engine) == before


def test_another_preamble_takes_the_place_of_the_one_before(engine, teacher):
    """In the same programs; and nobody may change it while requests run."""
    first = request(9, rows=(5, 9), limit=8)
    [before] = written(engine, first)
    programs, other = compiled(engine), ids(10, len(PREAMBLE))
    engine.begin(other)
    asked = dataclasses.replace(first, prefix=[*other, *first.prefix[len(other) :]])
    [completions] = written(engine, asked)
    check(teacher, asked, completions)
    engine.submit(asked)
    with pytest.raises(ValueError, match="requests are under way"):
        engine.begin(PREAMBLE)
    while not engine.idle:
        engine.step()
    engine.begin(PREAMBLE)
    assert written(engine, first) == [before]
    assert compiled(engine) == programs


def compiled(engine):
    programs = engine._pools._programs
    each = (programs.read_prefix, programs.read_rows, programs.write)
    return [program.func._cache_size() for program in each]


def test_memory_is_a_budget(model, teacher):
    """Requests of two shapes whose pools do not fit together: one waits for the other."""
    token = 2 * 3 * 16 * 4  # keys and values of three layers, two heads of eight, float32
    first, second = request(0), request(1, rows=(30, 40, 3), prefix=90)
    need = [(32 + 4 * 32) * token, (96 + 4 * 64) * token]
    config = dataclasses.replace(CONFIG, memory=37 * token + max(need))
    engine = Engine(model, config, PREAMBLE)
    out = dict(engine.run([first, second, first]))
    for asked, number in ((first, 0), (second, 1), (first, 2)):
        check(teacher, asked, out[number])
    with pytest.raises(ValueError, match=r"memory=\d+ bytes hold no request of 4 rows of 80"):
        engine.submit(request(1, rows=(40, 40, 40), prefix=90, limit=40))


def test_pools_that_nobody_uses_are_let_go(model):
    engine = Engine(model, dataclasses.replace(CONFIG, slots=1))
    for k in range(9):  # a shape each
        written(engine, Request(prefix=ids(0, 5), rows=[ids(1, 3)], limit=10 + 16 * k))
    assert len(engine._pools) == 5  # the last, and four before it


def test_shapes_are_few():
    assert [bucket(n, 16) for n in (1, 16, 17, 120, 129, 260, 600)] == [
        *(16, 16, 32, 128, 144, 288, 640)
    ]
    assert [bucket(n, 64) for n in (1, 64, 65, 600)] == [64, 64, 128, 640]
    assert pieces(70, 32, 16) == (32, 32, 16) and pieces(0, 32, 16) == ()


def test_int8_memory_is_close(model, engine):
    asked = request(10, rows=(30, 9), prefix=60, limit=1)
    [exact] = written(engine, asked)
    rounded = Engine(model, dataclasses.replace(CONFIG, kv="int8"), PREAMBLE)
    [close] = written(rounded, asked)
    for one, other in zip(exact, close, strict=True):
        assert 0 < abs(one.logps[0] - other.logps[0]) < 0.05


def test_a_full_queue_is_said(model):
    engine = Engine(model, dataclasses.replace(CONFIG, depth=2))
    asked = Request(prefix=ids(0, 5), limit=3)
    engine.submit(asked)
    engine.submit(asked)
    with pytest.raises(Full, match="2 requests wait"):
        engine.submit(asked)
    assert [one[0].finish for _, one in Engine(model, engine._config).run([asked] * 7)] == [
        "length"
    ] * 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Request(prefix=[1], rows=[], limit=3), "at least one row"),
        (lambda: Request(prefix=[], rows=[[1], []], limit=3), "nothing to continue"),
        (lambda: Request(prefix=[1], limit=0), "limit=0"),
        (lambda: Request(prefix=[1], limit=3, sampler=Sampler()), "1 rows are drawn, with 0 seeds"),
        (lambda: EngineConfig(slots=0), "slots=0"),
        (lambda: EngineConfig(room=0), "room=0"),
        (lambda: EngineConfig(chunk=40), "chunk=40"),
        (lambda: EngineConfig(kv="fp8"), "kv='fp8'"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_request_beyond_the_context_is_named(engine):
    with pytest.raises(ValueError, match="a prompt of 66 tokens and limit=200"):
        engine.submit(request(0, limit=200))


@pytest.mark.parametrize("token", [-1, 128])
def test_a_token_that_the_model_has_not_is_named(engine, token):
    with pytest.raises(ValueError, match=f"token {token} is none of the model's 128"):
        engine.submit(Request(prefix=[1, 2], rows=[[3, token]], limit=3))


def test_float_results_do_not_depend_on_lanes(model, engine):
    """Prompts that are read side by side, some lanes empty, are those read one by one."""
    asked = [request(seed) for seed in range(3)]
    lanes = Engine(model, dataclasses.replace(CONFIG, lanes=2), PREAMBLE)
    for one, other in zip(written(engine, *asked), written(lanes, *asked), strict=True):
        for left, right in zip(one, other, strict=True):
            assert left.tokens == right.tokens
            assert_close(np.asarray(left.logps), np.asarray(right.logps), rtol=1e-5)


def test_prompts_of_unlike_lengths_stand_in_one_pool_where_it_has_the_room(model, engine):
    asked = [request(seed, prefix=length) for seed, length in enumerate((5, 20, 60, 70))]
    roomy = Engine(model, dataclasses.replace(CONFIG, room=64), PREAMBLE)
    for one, other in zip(written(engine, *asked), written(roomy, *asked), strict=True):
        for left, right in zip(one, other, strict=True):
            assert left.tokens == right.tokens
            assert_close(np.asarray(left.logps), np.asarray(right.logps), rtol=1e-5)
    assert sorted(pool.shape.prefix for pool in roomy._pools) == [64, 128]


@pytest.mark.parametrize("sampler", [Sampler(temperature=0.0), Sampler(temperature=0.7, top_k=9)])
def test_drafts_change_no_token(model, engine, sampler):
    """Greedy or drawn, with answers that drafts know by heart and others that they do not."""
    asked = [request(k, limit=30, sampler=sampler, seeds=(k, k + 50)) for k in range(6)]
    plain = written(engine, *asked)
    known = [token for rows in plain[:3] for one in rows for token in one.tokens]
    drafting = Engine(
        model,
        dataclasses.replace(CONFIG, draft=5),
        PREAMBLE,
        Likely(ids=known, fixed=[False] * len(known)),
    )
    for one, other in zip(plain, written(drafting, *asked), strict=True):
        for left, right in zip(one, other, strict=True):
            assert left.tokens == right.tokens and left.finish == right.finish
            assert_close(np.asarray(left.logps), np.asarray(right.logps), rtol=1e-5)
    counts = drafting.drafted
    assert counts.tokens > 1.5 * counts.steps
    assert counts.near_ties < 0.02 * counts.tokens or sampler.temperature


def test_fixed_text_is_written_where_the_model_finds_it_likely_enough(model, engine):
    """A label that the model gives some probability, behind a run that it writes itself."""
    [[free, _]] = written(engine, request(5, limit=14))
    label = [*free.tokens[:3], 77, 78, 79]
    fixed = Likely(ids=label, fixed=[False] * 3 + [True] * 3)

    def told(trust):
        config = dataclasses.replace(CONFIG, draft=3, trust=trust)
        return written(Engine(model, config, PREAMBLE, fixed), request(5, limit=14))[0][0]

    assert told(1.0).tokens == free.tokens
    forced = told(1e-9)
    assert list(forced.tokens[:6]) == label
    least = np.exp(min(forced.logps[3:6]))
    assert told(float(least) * 0.9).tokens == forced.tokens
    assert told(min(1.0, float(np.exp(forced.logps[3])) * 1.1)).tokens == free.tokens


def test_near_ties_are_counted(model):
    """Of a model whose head is nothing, all tokens are."""
    graph, params = nnx.split(model)
    flat = nnx.merge(graph, jax.tree.map(jnp.zeros_like, params))
    engine = Engine(flat, dataclasses.replace(CONFIG, draft=2))
    written(engine, Request(prefix=ids(0, 9), limit=10))
    assert engine.drafted.near_ties == engine.drafted.tokens >= 10
