"""A judge that the engine runs: it is asked as any other, and answers as its model does alone."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chexjax.engine import Engine, EngineConfig, Request
from chexjax.families import llama
from chexjax.judges.answer import parse_judgement
from chexjax.judges.green import Green
from chexjax.judges.prompt import Prompt
from chexjax.judges.writer import EngineWriter, likely_text
from chexjax.testing import random_model

FAMILY = llama.llama(
    "x", layers=2, width=32, heads=4, mlp=48, vocabulary=257, kv_heads=4, context=512
)
PROMPT = Prompt("Which errors does the second report make? One: ", " Two: ", " Errors:")
LIMIT = 12
REFERENCES = ["clear lungs", "clear lungs", "small effusion", "clear lungs"] + ["big heart"] * 10


@pytest.fixture(scope="module")
def tokenizer():
    """Every byte is a token."""
    vocabulary = {text: k for k, text in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bare = Tokenizer(models.BPE({**vocabulary, "<end>": 256}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<end>")


@pytest.fixture(scope="module")
def model():
    return random_model(FAMILY)


def written(writer, questions, again=False):
    answers = {}
    writer.write(questions, lambda number, answer: answers.update({number: answer}), again=again)
    return [answers[k] for k in range(len(questions))]


def test_answers_are_those_of_the_model_to_each_question_alone(model, tokenizer):
    candidates = [f"report {k}" for k in range(len(REFERENCES))]
    asked = [PROMPT(r, c) for r, c in zip(REFERENCES, candidates, strict=True)]
    config = EngineConfig(slots=8, steps=4)
    writer = EngineWriter(model, tokenizer, PROMPT, identity=("x",), limit=LIMIT, config=config)
    answers = written(writer, asked)
    alone = Engine(model, config)
    for question, answer in zip(asked, answers, strict=True):
        ids = tokenizer.encode(question.text)
        [(_, [wanted])] = alone.run([Request(prefix=ids, limit=LIMIT, end=(256,))])
        assert answer.text == tokenizer.decode(wanted.tokens, skip_special_tokens=True)
        assert (answer.asked, answer.written) == (len(ids), len(wanted.tokens))


def test_a_second_try_is_drawn_and_is_the_same_every_time(model, tokenizer):
    writer = EngineWriter(model, tokenizer, PROMPT, identity=("x",), limit=LIMIT)
    asked = [PROMPT("clear lungs", "report")]
    first, second, third = (written(writer, asked, again=again) for again in (False, True, True))
    assert first != second and second == third


def test_what_cannot_be_read_is_asked_for_twice_and_has_no_score(model, tokenizer):
    """Noise is no judgement."""
    writer = EngineWriter(model, tokenizer, PROMPT, identity=("x",), limit=LIMIT)
    [one] = Green(writer, PROMPT).judge(["clear lungs"], ["clear lungs"])
    assert one.score != one.score and one.details["tries"] == 2
    assert one.details["tokens"][1] <= LIMIT


def test_what_decides_the_answers_is_its_identity(model, tokenizer):
    def identity(**options):
        given = {"identity": ("x",), "limit": LIMIT, **options}
        return EngineWriter(model, tokenizer, PROMPT, **given).identity

    others = [identity(identity=("y",)), identity(limit=9), identity(full=True)]
    assert len({identity(), *others}) == 4


def test_labels_are_fixed_and_counts_are_not(tokenizer):
    likely = likely_text(tokenizer)
    text = tokenizer.decode(likely.ids)
    counts = [k for k, fixed in enumerate(likely.fixed) if not fixed]
    assert parse_judgement(text).details["well_formed"] and len(text) == len(likely.ids)
    assert [text[k : k + 2] for k in counts] == ["0."] * 13  # six, six, and the matches


def test_drafts_change_no_answer(model, tokenizer):
    asked = [PROMPT(r, f"report {k}") for k, r in enumerate(REFERENCES)]

    def answers(**options):
        config = EngineConfig(slots=8, steps=4, **options)
        given = {"identity": ("x",), "limit": LIMIT, "config": config}
        return written(EngineWriter(model, tokenizer, PROMPT, **given), asked)

    assert answers() == answers(draft=3)
