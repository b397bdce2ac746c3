"""Judgements over HTTP are those of the judge, whoever asks and however."""

import concurrent.futures
import dataclasses
import json
import math
import re
import socket

import pytest

from chexjax.engine import EngineConfig
from chexjax.judges import PhantomOracle
from chexjax.judges.answer import parse_judgement, write_judgement
from chexjax.judges.green import Green, GreenConfig
from chexjax.judges.remote import Endpoint
from chexjax.judges.writer import EngineWriter
from tests.serve.running import ENGINE, PROMPT, Scripted, running, served

REFERENCE = "Moderate left effusion. No pneumothorax."
CANDIDATES = ["Moderate left effusion.", "Severe right effusion.", "Clear lungs.", ""]
QUESTION = f"{PROMPT.preamble}{{reference}}{PROMPT.between}{{candidate}}{PROMPT.closing}"


def oracle(asked):
    """What GREEN would write, were it as sure as the oracle of phantoms."""
    reference, candidate = re.search(r"<r>(.*)</r>\n<c>(.*)</c>", asked, re.DOTALL).groups()
    verdict = PhantomOracle().judge([reference], [candidate])[0]
    return write_judgement(verdict, "Because.").encode("ascii", "replace").decode()


def asked(references, candidates):
    pairs = zip(references, candidates, strict=True)
    return {"pairs": [{"reference": r, "candidate": c} for r, c in pairs]}


@pytest.fixture(scope="module")
def roomy():
    """The scripted judge, with a context that has room for its answers."""
    made = served()
    family = made.family
    decoder = dataclasses.replace(family.decoder, context=4096)
    return dataclasses.replace(made, family=dataclasses.replace(family, decoder=decoder))


def scripted(answer):
    return Scripted(answer, slots=64, steps=50)


@pytest.fixture(scope="module")
def judge(roomy):
    with running(scripted(oracle), judge=2000, model=roomy, limits={"tokens": 2000}) as server:
        yield server
        server.settles(waiting=0, running=0)


def test_scores_counts_and_items_are_those_of_the_model(judge):
    wanted = PhantomOracle().judge([REFERENCE] * 4, CANDIDATES)
    body = asked([REFERENCE] * 4, CANDIDATES) | {"full": True}
    answer = judge.post("/v1/judge", body).json()
    assert (answer["object"], answer["judge"], answer["model"]) == ("list", "GREEN", "tiny")
    for k, (one, other) in enumerate(zip(answer["data"], wanted, strict=True)):
        assert (one["index"], one["score"], one["well_formed"]) == (k, other.score, True)
        for details in ("matched", "significant", "insignificant"):
            assert one[details] == other.details[details]
        told = parse_judgement(write_judgement(other, "Because."))
        assert one["items"] == told.details["items"]
        assert one["answer"].startswith("[Explanation]:")
    written = sum(one["tokens"][1] for one in answer["data"])
    assert answer["usage"]["completion_tokens"] == written > 0


def test_a_decided_answer_is_not_written_to_its_end(judge):
    body = asked([REFERENCE], CANDIDATES[:1])
    short, long = (judge.post("/v1/judge", body | {"full": full}).json() for full in (False, True))
    assert short["data"][0]["score"] == long["data"][0]["score"]
    assert short["usage"]["completion_tokens"] < long["usage"]["completion_tokens"]


def test_a_second_try_is_made_once_and_no_score_is_null(roomy):
    seen = []

    def broken(asked):
        seen.append(asked)
        return "I cannot say."

    with running(scripted(broken), judge=2000, model=roomy) as server:
        answer = server.post("/v1/judge", asked([REFERENCE] * 2, CANDIDATES[:1] * 2)).json()
    assert [one["score"] for one in answer["data"]] == [None, None]
    assert [one["well_formed"] for one in answer["data"]] == [False, False]
    assert len(seen) == 2  # equal pairs are asked for once, and once more


def test_the_judge_green_of_a_run_asks_our_own_server(judge, tmp_path):
    """`judge.name=green` over HTTP, in chats and in GREEN's manner, gives the oracle's scores."""
    question = tmp_path / "question.txt"
    question.write_text(QUESTION, "utf-8")
    wanted = [one.score for one in PhantomOracle().judge([REFERENCE] * 4, CANDIDATES)]
    for frame in ("", "green_phi2"):
        endpoint = Endpoint(
            url=f"{judge.url}/v1", model="tiny", frame=frame, max_tokens=2000, concurrency=4
        )
        file = str(tmp_path / f"answers{frame}.sqlite")
        green = GreenConfig(endpoint=endpoint, question=str(question), answers=file)
        found = green.build().judge([REFERENCE] * 4, CANDIDATES)
        assert [one.score for one in found] == wanted
        before = judge.metric("chexjax_first_token_seconds_count")
        assert green.build().judge([REFERENCE] * 4, CANDIDATES) == found
        assert judge.metric("chexjax_first_token_seconds_count") == before  # they were kept


def test_a_busy_server_is_asked_again_until_all_is_judged(roomy, tmp_path):
    question = tmp_path / "question.txt"
    question.write_text(QUESTION, "utf-8")
    candidates = [f"Clear lungs {k}." for k in range(40)]
    with running(scripted(oracle), depth=2, model=roomy, limits={"tokens": 2000}) as server:
        endpoint = Endpoint(url=f"{server.url}/v1", model="tiny", max_tokens=2000, retries=20)
        green = GreenConfig(endpoint=endpoint, question=str(question)).build()
        found = green.judge([REFERENCE] * 40, candidates)
        assert server.metric(
            'chexjax_requests_total{route="/v1/completions",status="429"}'
        ) + server.metric('chexjax_requests_total{route="/v1/chat/completions",status="429"}')
    assert [one.score for one in found] == [
        one.score for one in PhantomOracle().judge([REFERENCE] * 40, candidates)
    ]


def test_many_calls_at_once_share_the_engine(judge):
    def ask(k):
        candidates = [f"Moderate left effusion {k}.", f"No pneumothorax {k}."]
        answer = judge.post("/v1/judge", asked([REFERENCE] * 2, candidates) | {"full": True})
        if answer.status_code == 429:
            return None
        wanted = PhantomOracle().judge([REFERENCE] * 2, candidates)
        return [one["score"] for one in answer.json()["data"]] == [one.score for one in wanted]

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, range(48)))
    assert set(found) <= {True, None} and True in found


def test_the_real_engine_answers_as_the_judge_on_its_own(real, model):
    """Through chats, through `/v1/judge` and without a server: the same text of noise."""
    candidates = [f"report {k}" for k in range(2)]
    made = served()
    config = EngineConfig(slots=ENGINE.slots, steps=ENGINE.steps, chunk=ENGINE.chunk)
    writer = EngineWriter(
        model,
        made.tokenizer,
        PROMPT,
        identity=("x",),
        limit=24,
        chat=made.family.chat,
        full=True,
        config=config,
    )
    first = {}
    questions = [PROMPT(REFERENCE, candidate) for candidate in candidates]
    writer.write(questions, lambda k, answer: first.update({k: answer}), again=False)
    wanted = Green(writer, PROMPT).judge([REFERENCE] * 2, candidates)
    answer = real.post("/v1/judge", asked([REFERENCE] * 2, candidates) | {"full": True}).json()
    for one, other in zip(answer["data"], wanted, strict=True):
        assert math.isnan(other.score) and one["score"] is None
        assert one["answer"] == other.details["answer"]
        assert one["tokens"] == other.details["tokens"]
    client = real.openai()
    for k, question in enumerate(questions):
        done = client.chat.completions.create(
            model="tiny",
            temperature=0,
            max_tokens=24,
            messages=[{"role": "user", "content": question.text}],
        )
        assert done.choices[0].message.content == first[k].text


def test_there_is_no_such_route_without_a_question():
    with running(Scripted(str.upper)) as server:
        response = server.post("/v1/judge", asked(["x"], ["y"]))
        assert response.status_code == 404
        assert "config.question" in response.json()["error"]["message"]


def test_who_leaves_is_judged_no_further(roomy):
    engine = scripted(oracle)
    engine.slots, engine.pause, engine.steps = 1, 0.02, 1
    with running(engine, judge=2000, model=roomy) as server:
        data = json.dumps(asked([REFERENCE] * 30, [f"Clear {k}." for k in range(30)])).encode()
        client = socket.create_connection(server.address)
        head = "POST /v1/judge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        server.settles(running=8)
        client.close()
        server.settles(waiting=0, running=0)
        assert server.service.door.inside == 0
