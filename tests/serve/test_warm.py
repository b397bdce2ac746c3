"""Who asks for what is usual does not wait for a compiler."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

from chexjax.engine import Engine, Images, Sampler
from chexjax.families import Family, preset
from chexjax.serve.config import ServeConfig
from chexjax.serve.warm import warm_requests, warm_up
from chexjax.testing import random_policy
from tests.serve.running import ENGINE, served

POLICY = preset("chexagent2_nano", Family)
PREAMBLE = tuple(range(10, 30))
GREEDY = Sampler(temperature=0.0)


@contextlib.contextmanager
def compiled():
    """Programs that are compiled, or taken from the cache, meanwhile."""
    found = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def config(*warm, **engine):
    return ServeConfig(warm=warm, engine=dataclasses.replace(ENGINE, bucket=32, **engine))


def written(engine, request):
    [(_, [done])] = engine.run([request])
    return done


def ask(made, prompt, limit):
    return made.request(prompt, limit, GREEDY, [0])


def test_prompts_of_a_warm_room_compile_nothing(model):
    """Shorter prompts with longer answers and the other way round; 100 + 60 is in 192."""
    made, settings = served(preamble=PREAMBLE), config((100, 60))
    engine = Engine(model, settings.engine, PREAMBLE)
    warm_up(engine, warm_requests(settings, made))
    assert engine.idle
    with compiled() as found:
        for prompt, limit in [(100, 60), (99, 90), (65, 80), (64, 65), (33, 150), (2, 130)]:
            ids = [*PREAMBLE, *np.random.default_rng(prompt).integers(30, 255, prompt).tolist()]
            written(engine, ask(made, ids, limit))
        assert not found
        written(engine, ask(made, [*PREAMBLE, *[7] * 100], 200))
        assert found  # another room


def test_a_warm_engine_writes_what_a_cold_one_does(model):
    made, settings = served(), config((20, 30))
    warm, cold = (Engine(model, settings.engine) for _ in range(2))
    warm_up(warm, warm_requests(settings, made))
    asked = ask(made, made.plain_ids("The heart is"), 20)
    assert written(warm, asked) == written(cold, asked)


def test_studies_of_a_warm_length_compile_nothing():
    policy = random_policy(POLICY)
    made = dataclasses.replace(served(), family=POLICY)
    one = POLICY.visual_tokens(1)
    settings = config((one + 40, 20))
    engine = Engine(policy, settings.engine)
    warm_up(engine, warm_requests(settings, made))
    size = POLICY.vision.size
    with compiled() as found:
        for prompt in (one + 4, one + 40):
            pixels = np.full((POLICY.max_images, size, size, POLICY.vision.channels), 99, np.uint8)
            placeholder = np.arange(prompt - 1) < one
            images = Images(pixels=pixels, placeholder=placeholder)
            written(engine, made.request([5] * prompt, 9, GREEDY, [0], images))
    assert not found
    with pytest.raises(
        ValueError, match=rf"warm=\(\({one}, 9\),\): a prompt of tiny has {one + 1}"
    ):
        warm_requests(config((one, 9)), made)


def test_answers_are_cut_to_the_context_and_prompts_are_not():
    cut = warm_requests(config((500, 99)), served())
    assert {len(one.rows[0]) + one.limit for one in cut} == {512}
    with pytest.raises(ValueError, match=r"warm=\(\(492, 1\),\): prompts have 491 tokens"):
        warm_requests(config((492, 1)), served(preamble=PREAMBLE))
    assert not warm_requests(config(), served())
