"""OpenAI's own client gets from the server what the engine writes."""

import dataclasses

import openai
import pytest

from chexjax.engine import Engine, Request, Sampler
from chexjax.serve.asked import Fields, read_asked
from chexjax.serve.config import Limits, ServeConfig
from chexjax.serve.server import load_worker, read_served
from tests.serve.running import END, ENGINE, Scripted, running, served

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it clear?"}]
FRAMED = "<system>Be brief.\n<user>Is it clear?\n<assistant>"


@pytest.fixture(scope="module")
def engine(model):
    """What the server is compared with."""
    return Engine(model, ENGINE)


def alone(engine, prompt, limit, **options):
    """Text, tokens and log-probabilities of one request."""
    ids = served().plain_ids(prompt)
    asked = Request(prefix=ids, rows=[()], limit=limit, end=(END,), **options)
    [(_, [one])] = engine.run([asked])
    tokens = one.tokens[:-1] if one.tokens[-1] == END else one.tokens
    return served().decode(tokens), one


def test_a_chat_is_what_the_engine_writes_within_the_family_s_turns(real, engine):
    text, one = alone(engine, FRAMED, 20)
    done = real.openai().chat.completions.create(
        model="tiny", messages=TURNS, temperature=0, max_tokens=20, logprobs=True
    )
    [choice] = done.choices
    assert (done.object, done.model, choice.message.role) == (
        "chat.completion",
        "tiny",
        "assistant",
    )
    assert choice.message.content == text
    assert choice.finish_reason == ("stop" if one.tokens[-1] == END else "length")
    assert done.usage.prompt_tokens == len(FRAMED)
    assert done.usage.completion_tokens == len(one.tokens)
    said = choice.logprobs.content
    assert [entry.logprob for entry in said] == pytest.approx(one.logps[: len(said)], rel=1e-5)
    assert len(said) in (len(one.tokens), len(one.tokens) - 1)


def test_a_completion_is_what_the_engine_writes_behind_the_text_as_it_is(real, engine):
    text, one = alone(engine, "The lungs", 16)
    done = real.openai().completions.create(
        model="tiny", prompt="The lungs", temperature=0, logprobs=0
    )
    [choice] = done.choices
    assert (done.object, choice.text) == ("text_completion", text)
    assert done.usage.completion_tokens == len(one.tokens) <= 16  # as many as anywhere by default
    told = choice.logprobs
    assert told.token_logprobs == pytest.approx(one.logps[: len(told.tokens)], rel=1e-5)
    offsets = [sum(map(len, told.tokens[:k])) for k in range(len(told.tokens))]
    assert told.text_offset == offsets


def test_streams_say_the_same_piece_by_piece(real):
    client = real.openai()
    settings = {"model": "tiny", "temperature": 0.9, "seed": 7, "max_tokens": 40, "n": 2}
    whole = client.chat.completions.create(messages=TURNS, **settings)
    chunks = list(
        client.chat.completions.create(
            messages=TURNS, stream=True, stream_options={"include_usage": True}, **settings
        )
    )
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    for choice in whole.choices:
        mine = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert mine[0].delta.role == "assistant"
        assert "".join(c.delta.content or "" for c in mine) == choice.message.content
        assert [c.finish_reason for c in mine if c.finish_reason] == [choice.finish_reason]
        assert len(mine) > 3
    plain = client.completions.create(prompt="The", **settings)
    parts = list(client.completions.create(prompt="The", stream=True, **settings))
    assert all(part.usage is None for part in parts)
    for choice in plain.choices:
        mine = [c.text for part in parts for c in part.choices if c.index == choice.index]
        assert "".join(mine) == choice.text


def test_stories_are_told_word_for_word(real_models):
    """A trained model with sentencepiece's tokenizer: from its start token, and from the middle."""
    folder = real_models / "stories260K"
    config = ServeConfig(model=str(folder), preset="stories260k")
    story, rubric = read_served(config)
    assert rubric is None
    published = (folder / "expected_greedy.txt").read_text().strip()
    begun = published[:36]
    assert begun.endswith(" little")
    with running(load_worker(config, story), model=story) as server:
        settings = {"model": "stories260K", "temperature": 0}
        for prompt, limit in (("", 256), (begun, 200)):
            done = server.openai().completions.create(
                prompt=prompt, max_tokens=limit, stream=True, **settings
            )
            text = prompt + "".join(part.choices[0].text for part in done)
            assert published.startswith(text) and len(text) > 300
            assert prompt or text == published


def test_a_seed_decides_what_is_drawn_and_settings_are_the_engine_s(real, engine):
    client = real.openai()

    def drawn(seed, **more):
        extra = {"top_k": more.pop("top_k")} if "top_k" in more else {}
        settings = {"max_tokens": 24, "temperature": 1.0, "seed": seed, **more}
        done = client.completions.create(
            model="tiny", prompt="The", n=3, extra_body=extra, **settings
        )
        return [choice.text for choice in done.choices]

    first = drawn(1)
    assert drawn(1) == first and len(set(first)) == 3
    assert not set(drawn(2)) & set(first)
    assert not set(drawn(None)) & set(drawn(None))
    greedy = alone(engine, "The", 24)[0]
    assert drawn(1, temperature=0) == drawn(1, top_k=1) == drawn(1, top_p=1e-6) == [greedy] * 3


def test_log_probabilities_are_the_model_s_not_the_sampler_s(real, engine):
    """Those that the engine gives to the same draws."""
    settings = {"temperature": 0.5, "seed": 3, "max_tokens": 12, "n": 2}
    done = real.openai().completions.create(model="tiny", prompt="The", logprobs=0, **settings)
    seeds = read_asked(Fields(settings), Limits(), logprobs=True).seeds(0)
    ids, sampler = served().plain_ids("The"), Sampler(temperature=0.5)
    asked = Request(prefix=ids, rows=[(), ()], limit=12, end=(END,), sampler=sampler, seeds=seeds)
    [(_, rows)] = engine.run([asked])
    for choice, row in zip(done.choices, rows, strict=True):
        told = choice.logprobs
        assert told.token_logprobs == pytest.approx(row.logps[: len(told.tokens)], rel=1e-5)
        assert told.tokens == [served().spell(token) for token in row.tokens if token != END]


def test_many_prompts_of_one_call_are_answered_in_their_order(real, engine):
    texts = ["One", "Two", "Three"]
    ids = [served().plain_ids(text) for text in texts]
    wanted = [alone(engine, text, 9)[0] for text in texts for _ in range(2)]
    for prompt in (texts, ids):
        done = real.openai().completions.create(
            model="tiny", prompt=prompt, n=2, temperature=0, max_tokens=9
        )
        assert [choice.index for choice in done.choices] == list(range(6))
        assert [choice.text for choice in done.choices] == wanted
    [one] = (
        real.openai()
        .completions.create(model="tiny", prompt=ids[0], temperature=0, max_tokens=9)
        .choices
    )
    assert one.text == wanted[0]


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_end_an_answer_before_them(stream):
    engine = Scripted(lambda asked: "One two. Three four. Five.", steps=4, pause=0.02)
    with running(engine) as server:
        client = server.openai()

        def ask(**settings):
            done = client.completions.create(
                model="tiny", prompt="x", max_tokens=200, stream=stream, **settings
            )
            parts = list(done) if stream else [done]
            text = "".join(part.choices[0].text for part in parts)
            return text, parts[-1].choices[0].finish_reason

        assert ask() == ("One two. Three four. Five.", "stop")
        assert ask(stop=". Fi") == ("One two. Three four", "stop")
        assert ask(stop=["four", "ee f"]) == ("One two. Thr", "stop")
        assert ask(stop="nowhere") == ("One two. Three four. Five.", "stop")
        assert engine.cancelled  # what comes behind a stop string is not waited for
        server.settles(waiting=0, running=0)


def test_an_answer_ends_at_the_number_of_tokens_that_was_asked_for():
    with running(Scripted(lambda asked: "abcdefghij" * 20)) as server:
        client = server.openai()
        for limit in (1, 2, 5, 7, 64, 65, 130):
            done = client.completions.create(model="tiny", prompt="x", max_tokens=limit)
            assert done.choices[0].text == ("abcdefghij" * 20)[:limit]
            assert done.choices[0].finish_reason == "length"
            assert done.usage.completion_tokens == limit


def test_special_tokens_in_a_message_are_taken_out(real):
    """A report cannot end the turn that it stands in."""
    client = real.openai()
    settings = {"model": "tiny", "temperature": 0, "max_tokens": 8}
    texts = [
        client.chat.completions.create(
            messages=[{"role": "user", "content": content}], **settings
        ).choices[0]
        for content in ("a<end>b", "a b", [{"type": "text", "text": "a b"}])
    ]
    assert texts[0].message == texts[1].message == texts[2].message


def test_models_are_listed_and_others_are_not_there(real):
    client = real.openai()
    [model] = client.models.list().data
    assert (model.id, model.owned_by) == ("tiny", "chexjax")
    assert client.models.retrieve("tiny").id == "tiny"
    for call in (
        lambda: client.models.retrieve("gpt-5"),
        lambda: client.completions.create(model="gpt-5", prompt="x"),
    ):
        with pytest.raises(openai.NotFoundError, match="tiny"):
            call()


def test_a_model_without_turns_refuses_chats(model):
    mute = served()
    mute = dataclasses.replace(mute, family=dataclasses.replace(mute.family, chat=None))
    with running(Scripted(str.upper), model=mute) as server:
        with pytest.raises(openai.BadRequestError, match="ask /v1/completions"):
            server.openai().chat.completions.create(model="tiny", messages=TURNS)
        done = server.openai().completions.create(model="tiny", prompt="clear", max_tokens=20)
        assert done.choices[0].text == "CLEAR"


def test_a_template_beside_the_tokenizer_makes_turns(model):
    """Of a family whose own are not known."""
    told = served()
    told.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[answer]"
    )
    told = dataclasses.replace(told, family=dataclasses.replace(told.family, chat=None))
    with running(Scripted(lambda asked: asked), model=told) as server:
        done = server.openai().chat.completions.create(model="tiny", messages=TURNS)
    assert done.choices[0].message.content == "[system]Be brief.[user]Is it clear?[answer]"


def test_metrics_and_health(real):
    before = real.metric('chexjax_requests_total{route="/v1/completions",status="200"}')
    tokens = real.metric("chexjax_written_tokens_total"), real.metric("chexjax_prompt_tokens_total")
    done = real.openai().completions.create(model="tiny", prompt="four", max_tokens=5, n=2)
    real.get("/no/such/route/with/a/name")
    after = real.metric('chexjax_requests_total{route="/v1/completions",status="200"}')
    assert after == before + 1
    assert real.metric('chexjax_requests_total{route="other",status="404"}') >= 1
    written = real.metric("chexjax_written_tokens_total") - tokens[0]
    assert written == done.usage.completion_tokens
    assert real.metric("chexjax_prompt_tokens_total") - tokens[1] == 4
    assert real.metric('chexjax_request_seconds_count{route="/v1/completions"}') >= after
    assert real.metric("chexjax_healthy") == 1
    assert (real.metric("chexjax_queue_depth"), real.metric("chexjax_running_rows")) == (0, 0)
    assert real.get("/healthz").json() == {"status": "ok"}
