"""A server that is told to stop finishes what runs, takes nothing new, and ends well."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import openai
import pytest
from flax import nnx

from chexjax.__main__ import main
from chexjax.engine import Engine, Request
from chexjax.families import TextFamily, preset
from chexjax.models import quantize_int8
from chexjax.testing import random_model
from chexjax.weights import save
from chexjax.weights.config import describe
from tests.serve.running import END, ENGINE, Scripted, byte_tokenizer, running, served

ROOT = Path(__file__).parents[2]
FAMILY = preset("stories260k", TextFamily)
SETTINGS = ["--config.engine.steps=1", "--config.int8=true", "--config.warm=((16,48),)"]
SECRET_TEXT = "Patient Miller has a fracture"


def started(server, answers, **settings):
    """A stream that has begun, in a thread; `answers` gets its whole text, or its error."""
    begun = threading.Event()

    def read():
        text = ""
        try:
            for part in server.openai().completions.create(
                model="tiny", prompt="x", max_tokens=400, stream=True, **settings
            ):
                text += part.choices[0].text
                begun.set()
            answers.append(text)
        except openai.APIError as error:
            answers.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    return thread


def test_what_runs_is_finished_and_what_comes_is_sent_elsewhere():
    engine = Scripted(lambda asked: "word " * 20)
    answers = []
    with running(engine) as server:
        with httpx2.Client(base_url=server.url) as old:
            assert old.get("/healthz").status_code == 200  # a connection from before
            engine.pause = 0.05
            thread = started(server, answers)
            server.server.drain()
            while server.get("/healthz").json() != {"status": "stopping"}:
                time.sleep(0.01)
            body = {"model": "tiny", "prompt": "x"}
            for response in (server.post("/v1/completions", body), old.get("/v1/models")):
                assert response.status_code == 503
                assert int(response.headers["Retry-After"]) >= 1
                assert response.json()["error"]["code"] == "stopping"
            assert server.metric("chexjax_running_rows") == 1
        thread.join()
        assert answers == ["word " * 20]
        server.thread.join(10)
        assert not server.thread.is_alive()


def test_what_takes_longer_than_the_grace_is_told_so():
    engine = Scripted(lambda asked: "word " * 80, steps=1, pause=0.02)
    answers = []
    with running(engine, limits={"grace": 0.3}) as server:
        thread = started(server, answers)
        began = time.monotonic()
        server.server.drain()
        server.thread.join(10)
        assert not server.thread.is_alive()
        assert 0.3 <= time.monotonic() - began < 10
        thread.join()
    [error] = answers
    assert "stopping" in str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model's folder with random weights."""
    folder = tmp_path_factory.mktemp("models") / "noise"
    state = nnx.state(random_model(FAMILY))
    config = describe(FAMILY, "float32")
    save(folder, state, FAMILY.names, config=config, heads=FAMILY.decoder.block.heads)
    byte_tokenizer().save_pretrained(folder)
    return folder


def command(folder, *more):
    config = f"{ROOT / 'configs' / 'serve.py'}:model={folder},preset=stories260k,port=0"
    return ["serve", f"--config={config}", *more]


@pytest.fixture
def process(folder, tmp_path):
    """A server of its own; its address, and what it has written to the log when it has ended."""
    log = tmp_path / "log"
    with log.open("w") as errors:
        made = subprocess.Popen(
            [sys.executable, "-m", "chexjax", *command(folder, *SETTINGS)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        try:
            said = next((line for line in made.stdout if line.startswith("serving")), "")
            assert said, log.read_text()
            yield made, re.search(r"http://127\.0\.0\.1:\d+", said)[0], log
        finally:
            made.kill()
            made.wait()


def test_a_process_serves_a_folder_and_ends_on_sigterm(process):
    made, url, log = process
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    settings = {"model": "noise", "prompt": SECRET_TEXT}
    done = client.completions.create(temperature=0, max_tokens=12, **settings)
    asked = Request(prefix=[], rows=[served().plain_ids(SECRET_TEXT)], limit=12, end=(END,))
    model = random_model(FAMILY)
    quantize_int8(model)
    [(_, [alone])] = Engine(model, ENGINE).run([asked])
    ids = [token for token in alone.tokens if token < END]
    assert done.choices[0].text == served().decode(ids)

    stream = client.completions.create(
        max_tokens=400, n=32, stream=True, seed=1, timeout=60, **settings
    )
    parts = [next(stream)]
    made.send_signal(signal.SIGTERM)
    refused = httpx2.post(f"{url}/v1/completions", json=settings)
    while refused.status_code != 503:  # a signal takes a moment
        refused = httpx2.post(f"{url}/v1/completions", json=settings)
    assert refused.headers["Retry-After"]
    parts += list(stream)
    assert len([c for part in parts for c in part.choices if c.finish_reason]) == 32
    assert made.wait(20) == 0
    lines = log.read_text()
    assert 0 < lines.find("warm-up: ") < lines.find("POST /v1/completions 200")
    assert "POST /v1/completions 503" in lines
    assert "Miller" not in lines and done.choices[0].text not in lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--config.model=/nowhere"], "is no folder"),
        (["--config.preset="], "has no judge.json; set it to the preset"),
        (["--config.preset=smollm2_135m"], "contradicts the preset smollm2_135m"),
        (["--config.preset=stories"], "did you mean 'stories260k'"),
        (["--config.question=/nowhere"], "cannot be read as a judge's question"),
        (["--config.host=0.0.0.0"], "'CHEXJAX_SERVE_TOKEN'"),
        (["--config.limits.timeout=-1"], "limits.timeout"),
        (["--config.warm=((16,0),)"], "warm=((16, 0),): prompts and answers have 1 token or more"),
        (["--config.warm=((512,9),)"], "warm=((512, 9),): prompts have 511 tokens at most"),
        (["--config.warm=(16,9)"], "config.warm"),
        (["--config.engine.slots=0"], "slots=0"),
        (["--workdir=x"], "unknown flag --workdir"),
        (["more"], "more is no flag"),
    ],
)
def test_a_server_that_cannot_be_is_named_before_any_work(folder, change, message, capsys):
    assert main([*command(folder, "--dry_run"), *change]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_what_would_be_served_is_said(folder, capsys):
    assert main(command(folder, "--dry_run")) == 0
    assert "noise: stories260k, without /v1/judge" in capsys.readouterr().out
    question = folder / "question.txt"
    question.write_text("One: {reference} Two: {candidate} Errors:", "utf-8")
    told = folder / "judge.json"
    told.write_text(json.dumps({"preset": "stories260k", "limit": 50}))
    try:
        assert main(command(folder, "--dry_run", "--config.preset=")) == 0
        assert "noise: stories260k, with /v1/judge" in capsys.readouterr().out
    finally:
        question.unlink()
        told.unlink()


def test_a_port_that_is_taken_is_named(folder, capsys):
    with running(Scripted(str.upper)) as server:
        port = server.address[1]
        assert main(command(folder, f"--config.port={port}")) == 2
    assert f"127.0.0.1:{port} cannot be listened at" in " ".join(capsys.readouterr().err.split())
