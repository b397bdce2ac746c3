"""What cannot be done is said at once, in OpenAI's shape, and costs nobody else anything."""

import json
import socket
import threading

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chexjax.serve.config import Limits, ServeConfig
from chexjax.serve.model import Served
from tests.serve.running import Scripted, running

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
TEXT = {"model": "tiny", "prompt": "x"}


@pytest.fixture(scope="module")
def server():
    with running(Scripted(str.upper), judge=400, limits={"body": 20_000}) as server:
        yield server
        server.settles(waiting=0, running=0)
        assert server.openai().completions.create(**TEXT).choices[0].text == "X"


def refused(response, status, message="", param=None):
    error = response.json()["error"]
    assert response.status_code == status, error
    assert set(error) == {"message", "type", "param", "code"}
    assert message in error["message"]
    assert param is None or error["param"] == param
    return error


RAW = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe{}",
    b'{"prompt": "x", "temperature": NaN}',
    b'{"prompt": "x", "temperature": Infinity}',
    b"[" * 5000,
    b'{"prompt": ' + b"9" * 5000 + b"}",
    b"{'prompt': 'x'}",
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/judge"])
def test_what_is_no_json_object(server, path, raw):
    headers = {"Content-Type": "application/json"}
    refused(server.post(path, content=raw, headers=headers), 400, "the body is")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_k", -2),
        ("top_k", 2.5),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 10**9),
        ("max_tokens", "many"),
        ("max_completion_tokens", 1e3),
        ("n", 0),
        ("n", 65),
        ("n", 10**30),
        ("n", [1]),
        ("seed", 2**64),
        ("seed", 0.5),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", [1]),
        ("stop", ["x"] * 17),
        ("stop", "\ud800"),
        ("stream", "yes"),
        ("stream_options", "usage"),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1),
        ("logit_bias", {"5": 100}),
        ("response_format", {"type": "json_object"}),
        ("tools", [{"type": "function"}]),
        ("best_of", 3),
        ("echo", True),
        ("suffix", "end"),
        ("top_logprobs", 3),
    ],
)
@pytest.mark.parametrize(
    ("path", "body"), [("/v1/completions", TEXT), ("/v1/chat/completions", CHAT)]
)
def test_a_field_that_cannot_be_is_named(server, path, body, field, value):
    refused(server.post(path, {**body, field: value}), 400, field)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [1, 257]}, "prompt"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": ["x"] * 65}, "n"),
        ({"prompt": {"text": "x"}}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": "x", "logprobs": 2}, "logprobs"),
        ({"prompt": "x", "logprobs": True}, "logprobs"),
        ({"prompt": "x" * 513}, "prompt"),
        ({"prompt": "x" * 300, "max_tokens": 213}, "prompt"),
    ],
)
def test_a_prompt_that_cannot_be(server, body, param):
    refused(server.post("/v1/completions", {"model": "tiny", **body}), 400, param=param)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hello", "messages"),
        ([None], "messages[0]"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content"),
        ([{"role": "user", "content": "x"}, {"role": []}], "messages[1].role"),
        ([{"role": "assistant", "content": "", "tool_calls": [1]}], "messages[0]"),
        ([{"role": "user", "content": "\udfff"}], "messages[0].content"),
        ([{"role": "user", "content": "x" * 600}], "messages"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "messages[0].content"),
    ],
)
def test_turns_that_cannot_be(server, messages, param):
    body = {"model": "tiny", "messages": messages}
    refused(server.post("/v1/chat/completions", body), 400, param=param)


@pytest.mark.parametrize(
    ("pairs", "param"),
    [
        (None, "pairs"),
        ([], "pairs"),
        ([1], "pairs[0]"),
        ([{"reference": "x"}], "candidate"),
        ([{"reference": 1, "candidate": "x"}], "reference"),
        ([{"reference": " ", "candidate": "x"}], "pairs[0].reference"),
        ([{"reference": "x", "candidate": "x"}] * 257, "pairs"),
    ],
)
def test_pairs_that_cannot_be(server, pairs, param):
    refused(server.post("/v1/judge", {"pairs": pairs}), 400, param=param)


def test_a_pair_beyond_the_context(server):
    pair = {"reference": "x" * 600, "candidate": "y"}
    error = refused(server.post("/v1/judge", {"pairs": [pair]}), 400, "context has room for 512")
    assert "xxx" not in error["message"]


def test_what_openai_s_clients_send_beside_and_asks_for_nothing_is_no_error(server):
    extra = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "stop": None,
        "n": None,
        "some_day": {"x": 1},
    }
    done = server.openai().chat.completions.create(**CHAT, extra_body=extra)
    assert done.choices[0].message.content == "<USER>X\n<ASSISTANT>"


def test_routes_and_methods_and_kinds_that_there_are_not(server):
    refused(server.get("/v2/nothing"), 404)
    refused(server.get("/v1/completions"), 405)
    refused(server.post("/v1/models", {}), 405)
    response = server.post("/v1/completions", content=json.dumps(TEXT), headers={})
    refused(response, 415, "application/json")


def test_a_body_that_is_too_large_is_not_read(server):
    refused(server.post("/v1/completions", {**TEXT, "user": "x" * 20_000}), 413, "20000 bytes")
    with socket.create_connection(server.address) as client:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Content-Length: 99999999999\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413")

    def chunks():
        for _ in range(100):
            yield b"x" * 1000

    headers = {"Content-Type": "application/json"}
    refused(server.post("/v1/completions", content=chunks(), headers=headers), 413)


def test_a_full_queue_says_when_to_come_again():
    engine = Scripted(str.upper, slots=1)
    with running(engine, depth=3) as server:
        engine.go.clear()
        done = []
        threads = [
            threading.Thread(target=lambda: done.append(server.post("/v1/completions", TEXT)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        server.settles(waiting=3)
        assert server.metric("chexjax_queue_depth") == 3
        response = server.post("/v1/completions", TEXT)
        refused(response, 429, "3 of at most 3 requests wait")
        assert int(response.headers["Retry-After"]) >= 1
        with pytest.raises(openai.RateLimitError):
            server.openai().completions.create(**TEXT, n=1, stream=True)
        engine.go.set()
        for thread in threads:
            thread.join()
        assert [response.status_code for response in done] == [200] * 3
        # A client that comes again by itself gets its answer.
        assert server.openai(max_retries=3).completions.create(**TEXT).choices[0].text == "X"


def test_the_engine_s_own_refusals_are_the_client_s():
    with running(Scripted(str.upper, depth=0)) as server:
        refused(server.post("/v1/completions", TEXT), 429)


def test_what_takes_too_long_is_given_up():
    engine = Scripted(lambda asked: "abc" * 100, pause=0.05)
    with running(engine, limits={"timeout": 0.5}) as server:
        response = server.post("/v1/completions", {**TEXT, "max_tokens": 300})
        refused(response, 504, "0.5 s")
        server.settles(waiting=0, running=0)
        stream = server.openai().completions.create(**TEXT, max_tokens=300, stream=True)
        text = ""
        with pytest.raises(openai.APIError, match="no answer within 0.5 s"):
            for part in stream:
                text += part.choices[0].text
        assert ("abc" * 100).startswith(text) and text
        server.settles(waiting=0, running=0)


def test_an_engine_that_fails_fails_those_who_wait_and_says_so():
    engine = Scripted(str.upper)
    with running(engine) as server:
        engine.go.clear()
        responses = []
        threads = [
            threading.Thread(target=lambda: responses.append(server.post("/v1/completions", TEXT)))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        server.settles(waiting=5)
        engine.fail = True
        engine.go.set()
        for thread in threads:
            thread.join()
        for response in [*responses, server.post("/v1/completions", TEXT)]:
            error = refused(response, 500)
            assert "fire" not in error["message"]
        assert server.get("/healthz").status_code == 503
        assert server.metric("chexjax_healthy") == 0


def test_a_token_is_asked_for_where_there_is_one(monkeypatch):
    monkeypatch.setenv("CHEXJAX_TEST_TOKEN", "secret")
    with running(Scripted(str.upper), secret="secret") as server:
        assert server.openai().completions.create(**TEXT).choices[0].text == "X"
        for key in ("wrong", "secre", "secrets", "Secret"):
            with pytest.raises(openai.AuthenticationError):
                server.openai(api_key=key).completions.create(**TEXT)
        shown = ["secret", "Basic secret", "Bearer", b"Bearer \xc3\xa9"]
        for headers in ({}, *({"Authorization": one} for one in shown)):
            for path in ("/v1/models", "/metrics", "/v1/none"):
                refused(server.get(path, headers=headers), 401, "Authorization: Bearer")
        assert server.get("/healthz").status_code == 200


def test_other_machines_are_not_let_in_without_a_token(monkeypatch):
    monkeypatch.delenv("CHEXJAX_SERVE_TOKEN", raising=False)
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert ServeConfig(host=host).secret() == ""
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""):
        with pytest.raises(ValueError, match="'CHEXJAX_SERVE_TOKEN'"):
            ServeConfig(host=host).secret()
    monkeypatch.setenv("CHEXJAX_SERVE_TOKEN", "x")
    assert ServeConfig(host="0.0.0.0").secret() == "x"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ServeConfig(port=70_000), "port=70000"),
        (lambda: Limits(timeout=0), "limits.timeout=0"),
    ],
)
def test_a_config_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


REPORT = "Patient Miller, 7 Elm Street, has a fracture."


def logged(caplog):
    """What the server has written, and not its client."""
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]
    return "\n".join(record.getMessage() + (record.exc_text or "") for record in ours)


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_of_our_own_is_in_the_log_without_what_was_sent(stream, monkeypatch, caplog):
    def decode(self, ids):
        raise KeyError(REPORT)

    caplog.set_level("INFO")
    with running(Scripted(str.upper)) as server:
        monkeypatch.setattr(Served, "decode", decode)
        response = server.post("/v1/completions", {**TEXT, "prompt": REPORT, "stream": stream})
        monkeypatch.undo()
        refused(response, 500, "its log says how")
        server.settles(waiting=0, running=0)
        assert server.openai().completions.create(**TEXT).choices[0].text == "X"
    assert "KeyError while answering" in logged(caplog) and "calls.py" in logged(caplog)
    assert "Miller" not in logged(caplog)


@pytest.mark.parametrize("log_text", [False, True])
def test_text_is_in_the_log_only_where_it_is_asked_for(log_text, caplog):
    caplog.set_level("INFO")
    with running(Scripted(str.upper), log_text=log_text) as server:
        body = {**TEXT, "prompt": REPORT, "max_tokens": 100}
        path = "/v1/completions?report=Elm+Street"
        assert server.post(path, body).json()["choices"][0]["text"] == REPORT.upper()
        list(server.openai().completions.create(**body, stream=True))
    assert "POST /v1/completions 200" in logged(caplog)
    assert logged(caplog).count(REPORT) == logged(caplog).count(REPORT.upper()) == 2 * log_text
    assert "Elm+Street" not in logged(caplog)


def test_metrics_are_in_prometheus_text_format(server):
    families = {f.name: f for f in text_string_to_metric_families(server.get("/metrics").text)}
    assert families["chexjax_requests"].type == "counter"
    assert families["chexjax_queue_depth"].type == "gauge"
    assert families["chexjax_request_seconds"].type == "histogram"
    routes = {sample.labels["route"] for sample in families["chexjax_requests"].samples}
    assert len(routes) <= 8  # whatever clients have asked for
