"""A policy over HTTP reports on the images of a message as it does without a server."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from chexjax.data.bpe import train_bpe
from chexjax.data.images import pixel_stacks
from chexjax.data.tokens import Tokens
from chexjax.engine import Engine, Images, Request
from chexjax.families import Family, preset
from chexjax.serve.model import Served
from chexjax.testing import random_policy
from tests.serve.running import ENGINE, running

FAMILY = preset("chexagent2_nano", Family)
LIMIT = 8


@pytest.fixture(scope="module")
def tokens():
    texts = ["There is a small left pleural effusion.", "No pneumothorax."]
    return Tokens(train_bpe(texts, FAMILY.template, FAMILY.decoder.vocabulary), FAMILY)


@pytest.fixture(scope="module")
def policy():
    return random_policy(FAMILY)


@pytest.fixture(scope="module")
def server(policy, tokens):
    made = Served("policy", FAMILY, tokens.tokenizer, (tokens.end,))
    with running(policy, model=made) as server:
        yield server
        server.settles(waiting=0, running=0)


def png(seed, size=(40, 30), pixels=None):
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 255, size[::-1], np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def image(file):
    url = f"data:image/png;base64,{base64.b64encode(file).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def asked(server, *parts, **settings):
    message = {"role": "user", "content": list(parts)}
    given = {"messages": [message], "temperature": 0, "max_tokens": LIMIT, **settings}
    return server.post("/v1/chat/completions", given)


def test_a_report_is_the_policy_s_on_these_images_and_this_indication(server, policy, tokens):
    engine = Engine(policy, ENGINE)
    found = []
    for count, indication in ((1, "Cough."), (2, "Cough."), (2, "Fall.")):
        files = [png(seed) for seed in range(count)]
        ids = tokens.prompt(count, indication)
        [pixels] = pixel_stacks([files], FAMILY.max_images, FAMILY.vision, FAMILY.image)
        shown = Images(pixels=pixels, placeholder=np.asarray(ids[:-1]) == tokens.placeholder)
        request = Request(prefix=ids, rows=[(), ()], limit=LIMIT, end=(tokens.end,), images=shown)
        [(_, rows)] = engine.run([request])
        text = {"type": "text", "text": indication}
        answer = asked(server, *map(image, files), text, n=2, logprobs=True).json()
        assert answer["usage"]["prompt_tokens"] == len(ids)
        for choice, row in zip(answer["choices"], rows, strict=True):
            kept = [token for token in row.tokens if token != tokens.end]
            assert choice["message"]["content"] == tokens.tokenizer.decode(
                kept, skip_special_tokens=True
            )
            told = [entry["logprob"] for entry in choice["logprobs"]["content"]]
            assert told == pytest.approx(row.logps[: len(told)], rel=1e-5)
        found.append(told[0])
    assert len(set(found)) == 3


BLACK = png(0, pixels=np.zeros((40, 40), np.uint8))
NARROW = png(0, size=(4, 40))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([image(png(k)) for k in range(FAMILY.max_images + 1)], "images at most"),
        ([image(b"not an image")], "cannot be read"),
        ([image(png(0)[:60])], "cannot be decoded"),
        ([image(BLACK)], "every pixel of the image is the same: 0"),
        ([image(NARROW)], "under 16 pixels: 4 x 40"),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,@@"}}], "cannot be"),
        ([{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x.png"}}], "nowhere else"),
        ([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}], "nowhere else"),
        ([{"type": "image_url"}], "nowhere else"),
        ([{"type": "video_url"}], "neither text nor image_url"),
    ],
)
def test_images_that_cannot_be(server, parts, message):
    response = asked(server, *parts)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(("side", "message"), [(6000, "6000 pixels"), (20_000, "cannot be read")])
def test_an_image_that_says_it_is_huge_is_not_decoded(server, side, message):
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "png")  # up to 400 million pixels in a small file
    assert len(file.getvalue()) < 2**20
    response = asked(server, image(file.getvalue()))
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_a_policy_is_asked_about_one_study(server):
    turns = [{"role": "system", "content": "x"}, {"role": "user", "content": "Cough."}]
    response = server.post("/v1/chat/completions", {"messages": turns})
    assert response.status_code == 400
    assert "one user's message" in response.json()["error"]["message"]


def test_a_model_of_text_takes_no_images(real):
    response = asked(real, image(png(0)))
    assert response.status_code == 400
    assert "takes no images" in response.json()["error"]["message"]
