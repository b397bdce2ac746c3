"""GREEN behind an endpoint: the judge that answers is the phantoms' oracle, over HTTP."""

import dataclasses
import math
import sqlite3
import time

import pytest

from chexjax.judges import JudgeError, JudgeSettings, PhantomOracle, build
from chexjax.judges.green import GreenConfig
from chexjax.judges.remote import Endpoint
from tests.judges.endpoint import QUESTION, oracle, serve

REFERENCE = "Moderate left effusion. Mild cardiomegaly. No pneumothorax."
CANDIDATES = [
    "Moderate left effusion. No pneumothorax.",
    "Severe right effusion.",
    "Clear lungs.",
    "",
]


@pytest.fixture
def question(tmp_path):
    file = tmp_path / "question.txt"
    file.write_text(QUESTION, "utf-8")
    return str(file)


def config(url, question, **endpoint):
    given = {"url": url, "model": "green", "concurrency": 4, "retries": 2, **endpoint}
    return GreenConfig(endpoint=Endpoint(**given), question=question)


def made(green, answers="", name="green"):
    kept = dataclasses.replace(green, answers=str(answers))
    return build(name, JudgeSettings(green=kept, plain=False))


def ask(green, candidates=CANDIDATES, answers="", name="green"):
    return made(green, answers, name).judge([REFERENCE] * len(candidates), candidates)


def test_scores_and_counts_are_those_of_the_model_behind_the_endpoint(question):
    wanted = PhantomOracle().judge([REFERENCE] * 4, CANDIDATES)
    with serve(oracle) as served:
        found = ask(config(served.url, question))
    assert [one.score for one in found] == [one.score for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        for counts in ("matched", "significant", "insignificant"):
            assert one.details[counts] == other.details[counts]
        assert one.details["tokens"] == [100, 10]
        assert one.details["answer"].startswith("[Explanation]:")
    assert all(request["temperature"] == 0 for _, request, _ in served.requests)


def test_length_control_divides_its_scores(question):
    long = CANDIDATES[0] * 3
    with serve(oracle) as served:
        [plain], [controlled] = (
            ask(config(served.url, question), [long], name=name) for name in ("green", "lc_green")
        )
    assert controlled.score == pytest.approx(plain.score * 7 / len(long.split()))


def test_equal_pairs_are_asked_for_once_and_never_again(question, tmp_path):
    file = tmp_path / "answers.sqlite"
    with serve(oracle) as served:
        green = config(served.url, question)
        first = ask(green, [*CANDIDATES, CANDIDATES[0], f"  {CANDIDATES[0]}\n"], file)
        assert len(served.requests) == 4
        assert ask(green, CANDIDATES, file) == first[:4]
        assert len(served.requests) == 4
        ask(config(served.url, question, model="another"), CANDIDATES, file)
        assert len(served.requests) == 8
    assert first[0] == first[4] == first[5]


def test_an_unreadable_answer_is_asked_for_once_more_and_then_has_no_score(question):
    def broken(path, request):
        hot = request["temperature"] > 0
        text = request["messages"][0]["content"]
        if "effusion. No" in text.partition("<c>")[2]:
            return oracle(path, request) if hot else "[Matched Findings]:\n3. All."
        return "[Matched Findings]:\n3. All." if "Severe" in text else oracle(path, request)

    with serve(broken) as served:
        green = config(served.url, question)
        saved, lost, fine, _ = ask(green)
        assert len(served.requests) == 4 + 2
        published = made(dataclasses.replace(green, unreadable="published"))
        [as_published] = published.judge([REFERENCE], [CANDIDATES[1]])
    assert saved.score == PhantomOracle().judge([REFERENCE], [CANDIDATES[0]])[0].score
    assert [one.details["tries"] for one in (saved, lost, fine)] == [2, 2, 1]
    assert math.isnan(lost.score)
    assert not lost.details["well_formed"]
    assert as_published.score == 1.0


def test_no_more_questions_are_on_their_way_than_asked_for(question):
    def slow(path, request):
        time.sleep(0.05)
        return oracle(path, request)

    many = [f"{CANDIDATES[0]} {'Clear lungs. ' * k}" for k in range(12)]
    with serve(slow) as served:
        ask(config(served.url, question, concurrency=3), many)
    assert len(served.requests) == 12
    assert served.busiest == 3


def test_a_busy_server_is_asked_again_when_it_says(question):
    refused = []

    def busy(path, request):
        if len(refused) < 2:
            refused.append(time.monotonic())
            return 429, {"Retry-After": "0.2"}, {"error": {"message": "busy"}}
        refused.append(time.monotonic())
        return oracle(path, request)

    with serve(busy) as served:
        [one] = ask(config(served.url, question), CANDIDATES[:1])
    assert one.score > 0
    assert len(served.requests) == 3
    assert all(later - earlier >= 0.2 for earlier, later in zip(refused, refused[1:], strict=False))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((500, {}, {"error": {"message": REFERENCE}}), r"InternalServerError \(HTTP 500\)"),
        ((401, {}, {"error": {"message": "no"}}), r"AuthenticationError \(HTTP 401\)"),
        ((200, {}, b"<html>not JSON"), "Error"),
        ((200, {}, {"choices": []}), "IndexError"),
    ],
    ids=["broken", "no key", "a page", "nothing"],
)
def test_a_failure_is_named_without_report_text_and_keeps_what_came_before(
    given, reason, question, tmp_path
):
    def failing(path, request):
        return given if "Severe" in request["messages"][0]["content"] else oracle(path, request)

    file = tmp_path / "answers.sqlite"
    with serve(failing) as served:
        green = config(served.url, question, retries=0, concurrency=1)
        with pytest.raises(JudgeError, match=reason) as raised:
            ask(green, answers=file)
        assert REFERENCE not in str(raised.value)
        served.answer = oracle
        kept = len(served.requests) - 1
        found = ask(green, answers=file)
        assert len(served.requests) - 1 - kept == 4 - kept
    assert len(found) == 4


def test_no_server_is_named_with_its_address(question):
    green = config("http://127.0.0.1:9/v1", question, retries=0)
    with pytest.raises(JudgeError, match=r"'green' at http://127.0.0.1:9/v1: APIConnectionError"):
        ask(green)


def test_the_token_goes_along_and_the_frame_is_greens_own(question, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")
    with serve(oracle) as served:
        ask(config(served.url, question, key="JUDGE_KEY"), CANDIDATES[:1])
        ask(config(served.url, question, frame="green_llama2_7b"), CANDIDATES[:1])
    (chat, _, token), (plain, framed, _) = served.requests
    assert (chat, plain) == ("/v1/chat/completions", "/v1/completions")
    assert token == "Bearer secret"
    asked = QUESTION.format(reference=REFERENCE, candidate=CANDIDATES[0])
    assert framed["prompt"] == f"<|user|>\n{asked}</s>\n<|assistant|>\n</s>\n<|assistant|>\n"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": ""}, r"judge.green.endpoint.url='': set it"),
        ({"url": "127.0.0.1:8000"}, "judge.green.endpoint.url="),
        ({"model": ""}, "judge.green.endpoint.model"),
        ({"concurrency": 0}, r"concurrency=0 must be above 0"),
        ({"timeout": -1.0}, r"timeout=-1.0 must be above 0"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"retries": -1}, "retries=-1"),
        ({"frame": "green_llama2_70b"}, "did you mean 'green_llama2_7b'"),
        ({"frame": "smollm2_135m"}, "no turns are known"),
    ],
)
def test_a_wrong_endpoint_is_found_before_anything_is_asked(wrong, message, question):
    with pytest.raises(ValueError, match=message):
        made(config(**{"url": "http://127.0.0.1:9/v1", "question": question, **wrong}))


def test_a_file_that_holds_no_answers_is_named_and_kept(question, tmp_path):
    file = tmp_path / "answers.sqlite"
    file.write_text("not a database, and somebody's notes" * 100, "utf-8")
    with pytest.raises(ValueError, match=r"answers.sqlite cannot hold a judge's answers"):
        made(config("http://127.0.0.1:9/v1", question), file)
    assert file.read_text("utf-8").startswith("not a database")


def test_answers_are_read_while_another_process_writes(question, tmp_path):
    file = tmp_path / "answers.sqlite"
    with serve(oracle) as served:
        ask(config(served.url, question), answers=file)
        other = sqlite3.connect(file)
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (4,)
        ask(config(served.url, question, model="b"), answers=file)
    assert other.execute("SELECT count(*) FROM answers").fetchone() == (8,)
    other.close()
