"""Many clients at once, slow ones and those that leave: everybody gets their own answer."""

import asyncio
import json
import socket
import time

import openai
import pytest

from chexjax.engine import Engine, Request
from tests.serve.running import END, ENGINE, Scripted, running, served

PEOPLE = 300


def told(asked):
    """An answer that only this question has."""
    return f"answer to {asked}: " + asked[::-1] * 3


async def crowd(server, ask, count=PEOPLE):
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=120
    ) as client:
        return await asyncio.gather(*(ask(client, k) for k in range(count)))


async def completed(client, prompt, *, stream, **settings):
    done = await client.completions.create(model="tiny", prompt=prompt, stream=stream, **settings)
    if not stream:
        return done.choices[0].text
    return "".join([part.choices[0].text async for part in done])


def test_nobody_gets_the_answer_of_another(real, model):
    """The real engine: each of 300, streamed or not, is what the model writes to it alone."""
    prompts = [f"{k} {'left right'[: k % 10]}" for k in range(PEOPLE)]  # of one room
    ids = [served().plain_ids(prompt) for prompt in prompts]
    asked = [Request(prefix=[], rows=[one], limit=12, end=(END,)) for one in ids]
    wanted = dict(Engine(model, ENGINE).run(asked))
    wanted = [served().decode([t for t in wanted[k][0].tokens if t != END]) for k in range(PEOPLE)]
    assert len(set(wanted)) > PEOPLE // 2

    async def ask(client, k):
        return await completed(client, prompts[k], stream=k % 2 == 0, temperature=0, max_tokens=12)

    ok = 'chexjax_requests_total{route="/v1/completions",status="200"}'
    before = real.metric(ok)
    assert asyncio.run(crowd(real, ask)) == wanted
    real.settles(waiting=0, running=0)
    assert real.metric(ok) - before == PEOPLE


def test_calls_of_all_kinds_beside_each_other():
    """Scripted answers, which are long enough to overlap, some of several rows or stopped short."""
    with running(Scripted(told, slots=16)) as server:

        async def ask(client, k):
            prompt = f"#{k}#"
            if k % 3 == 0:
                return await completed(client, prompt, stream=k % 2 == 0, max_tokens=200)
            if k % 3 == 1:
                settings = {"max_tokens": 200, "stop": [": "]}
                return await completed(client, prompt, stream=k % 2 == 0, **settings)
            done = await client.completions.create(model="tiny", prompt=prompt, n=2, max_tokens=200)
            return [choice.text for choice in done.choices]

        def wanted(k):
            whole = told(f"#{k}#")
            kinds = [whole, f"answer to #{k}#", [f"0{whole}", f"1{whole}"]]
            return kinds[k % 3]

        assert asyncio.run(crowd(server, ask)) == [wanted(k) for k in range(PEOPLE)]
        server.settles(waiting=0, running=0)


def raw(server, path, body):
    """A connection over which a request has been sent."""
    client = socket.create_connection(server.address)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return client


BODY = {"model": "tiny", "prompt": "x", "max_tokens": 400}


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_frees_their_slots(stream):
    engine = Scripted(lambda asked: "word " * 80, slots=4, pause=0.02)
    with running(engine) as server:
        clients = [raw(server, "/v1/completions", {**BODY, "stream": stream}) for _ in range(12)]
        server.settles(running=4)
        if stream:
            assert b"200 OK" in clients[0].recv(200)  # in the middle of it
        for client in clients:
            client.close()
        server.settles(waiting=0, running=0)
        assert len(engine.cancelled) >= 12
        assert server.service.door.inside == 0
        done = server.openai().completions.create(**{**BODY, "max_tokens": 4})
        assert done.choices[0].text == "word"


def test_who_leaves_the_real_engine_frees_their_slots(real):
    clients = [
        raw(real, "/v1/completions", {**BODY, "n": 4, "stream": k % 2 == 0, "seed": k})
        for k in range(20)
    ]
    while not real.worker.running:
        time.sleep(0.01)
    for client in clients:
        client.close()
    real.settles(waiting=0, running=0)
    settings = {"model": "tiny", "prompt": "x", "temperature": 0, "max_tokens": 12}
    assert real.openai().completions.create(**settings).usage.completion_tokens > 0


def test_half_a_body_and_no_more_holds_nobody_up():
    with running(Scripted(told), limits={"timeout": 1.0}) as server:
        clients = [socket.create_connection(server.address) for _ in range(20)]
        for client in clients:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            client.sendall(head + b'Content-Length: 100\r\n\r\n{"prompt":')
        done = server.openai().completions.create(**{**BODY, "prompt": "me"})
        assert done.choices[0].text == told("me")
        for client in clients[:10]:
            client.close()
        assert all(client.recv(100).startswith(b"HTTP/1.1 504") for client in clients[10:])
        for client in clients:
            client.close()
        end = time.monotonic() + 5
        while server.service.door.inside and time.monotonic() < end:
            time.sleep(0.01)
        assert server.service.door.inside == 0


def test_a_slow_reader_slows_nobody_else_and_gets_everything():
    """Its answer is ready long before it reads; the slot is not kept for it."""
    long = "0123456789" * 40
    engine = Scripted(lambda asked: long if asked == "x" else told(asked), slots=2, steps=1)
    with running(engine) as server:
        body = {**BODY, "stream": True, "logprobs": 0}
        slow = [raw(server, "/v1/completions", body) for _ in range(2)]
        server.settles(waiting=0, running=0)
        done = server.openai().completions.create(**{**BODY, "prompt": "quick"})
        assert done.choices[0].text == told("quick")
        for client in slow:
            received = b""
            while b"[DONE]" not in received:
                received += client.recv(997)
            events = [line for line in received.split(b"\n") if line.startswith(b"data: {")]
            parts = [json.loads(line[6:])["choices"][0] for line in events]
            assert "".join(part["text"] for part in parts) == long
            client.close()


def test_a_reader_that_never_reads_is_let_go():
    engine = Scripted(lambda asked: "0123456789" * 49, steps=1)
    with running(engine, limits={"timeout": 4.0, "choices": 64}) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(server.address)
        data = json.dumps({**BODY, "max_tokens": 490, "n": 64, "stream": True, "logprobs": 0})
        head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n{data}".encode())
        server.settles(running=64)
        server.settles(waiting=0, running=0)
        time.sleep(0.5)
        assert server.service.door.inside == 1  # its answer is written, but not read
        end = time.monotonic() + 15
        while server.service.door.inside and time.monotonic() < end:
            time.sleep(0.05)
        assert server.service.door.inside == 0
        client.close()
