"""Warm-up: usual requests, written before anybody may ask, so that nobody waits for a compiler."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from chexjax.engine import Engine, EngineConfig, Images, Request, Sampler
from chexjax.engine.shapes import bucket, pieces
from chexjax.families import Family
from chexjax.serve.config import ServeConfig
from chexjax.serve.model import Served, TooLong

_GREEDY = Sampler(temperature=0.0)


def warm_requests(config: ServeConfig, served: Served) -> list[Request]:
    """Requests that go through all programs of those that `config.warm` describes.

    Raises:
      ValueError: the context has no room for one of them, or an image none in its prompt.
    """
    made = _studies if served.reports else _texts
    try:
        found = [one for each in config.warm for one in made(served, config.engine, *each)]
    except TooLong as error:
        raise ValueError(f"warm={config.warm}: {error}") from error
    return [dataclasses.replace(one, stop=len) for one in found]  # the first tokens end it


def warm_up(engine: Engine, requests: Sequence[Request]) -> None:
    """Has every program compiled that the requests take."""
    for _ in engine.run(requests):
        pass


def _texts(served: Served, engine: EngineConfig, prompt: int, answer: int) -> Iterator[Request]:
    """Prompts of one room: they are read in chunks, of which the last may have any size."""
    before = list(served.preamble)
    left = served.context - len(before)
    if prompt >= left:
        raise TooLong(f"prompts have {left - 1} tokens at most, for an answer to have room")
    room = min(prompt + answer, left)
    last = {pieces(n, engine.chunk, engine.bucket)[-1]: n for n in range(prompt - 1, 0, -1)}
    for length in [1 + n for n in last.values()] or [1]:
        yield served.request([*before, *[0] * length], room - length, _GREEDY, [0])


def _studies(served: Served, engine: EngineConfig, prompt: int, answer: int) -> Iterator[Request]:
    """Prompts with images, which are read at once."""
    family = served.family
    assert isinstance(family, Family)
    least = family.visual_tokens(1) + 1
    if prompt < least:
        raise TooLong(f"a prompt of {served.name} has {least} tokens or more, an image's with them")
    vision, answer = family.vision, min(answer, max(served.context - prompt, 1))
    pixels = np.zeros((family.max_images, vision.size, vision.size, vision.channels), np.uint8)
    for length in {bucket(n, engine.bucket): n for n in range(least - 1, prompt)}.values():
        images = Images(pixels=pixels, placeholder=np.zeros(length, bool))
        yield served.request([0] * (length + 1), answer, _GREEDY, [0], images)
