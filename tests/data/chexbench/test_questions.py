"""What a question must have, how it is put, and how a written answer is read."""

import pytest

from chexjax.data.bpe import train_bpe
from chexjax.data.chexbench.questions import (
    BINARY,
    FINDINGS,
    SUMMARY,
    Question,
    UnusableQuestion,
    asked_example,
    chosen,
    lettered,
    scored_example,
)
from chexjax.data.examples import UnusableExample
from chexjax.data.tokens import Tokens, prompt_text
from chexjax.families import Family, preset

FAMILY = preset("chexagent2_nano", Family)


@pytest.fixture(scope="module")
def tokens():
    texts = ["Is there an effusion?", "yes", "no", "left pleural effusion"]
    return Tokens(train_bpe(texts, FAMILY.template, FAMILY.decoder.vocabulary), FAMILY)


def ask(task=BINARY, **fields):
    given = {"text": "Is there {an} effusion?", "options": ("yes", "no")} | fields
    return Question(id="q", task=task, source="s", **given)


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("(B)", 1),
        ("The answer is (A) yes, not (B).", 0),
        ("B", None),
        ("(b)", None),
        ("(C)", None),  # there are two options
        ("", None),
    ],
)
def test_the_first_letter_in_brackets_is_the_answer_and_nothing_else_is(answer, option):
    assert chosen(answer, 2) == option


def test_options_are_listed_with_letters():
    assert lettered("Which?", ("left", "right", "both")) == (
        "Which?\nOptions: (A) left, (B) right, (C) both\n"
        "Directly answer the question by choosing one option: (A), (B), (C)."
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"options": ("yes",)}, "not 2 to 4: 1"),
        ({"options": ("a", "b", "c", "d", "e")}, "not 2 to 4: 5"),
        ({"options": ("yes", " ")}, "one of its answers is empty"),
        ({"answer": 2}, "none of its 2 options: number 2"),
        ({"answer": -1}, "number -1"),
        ({"text": " "}, "its text is empty"),
        ({"task": SUMMARY, "options": (), "reference": " [a] ** "}, "expects is empty"),
    ],
)
def test_what_cannot_be_asked_says_why(fields, said):
    with pytest.raises(UnusableQuestion, match=said):
        ask(**fields)


def test_a_row_is_the_question_again():
    question = ask(images=(b"1", b"2"), answer=1, slice="part")
    assert Question.from_row(question.to_row()) == question


def test_a_question_stands_where_the_indication_s_question_stood(tokens):
    prompt = tokens.tokenizer.decode(scored_example(ask(), 0, tokens).prompt)
    assert prompt == "Is there {an} effusion?" + FAMILY.template.closing
    with_image = asked_example(ask(images=(b"x",)), 0, tokens, 8)
    shown = tokens.tokenizer.decode(with_image.prompt)
    pixels = FAMILY.template.placeholder * FAMILY.visual_tokens(1)
    assert shown == (
        FAMILY.template.image.format(number=1, pixels=pixels)
        + lettered("Is there {an} effusion?", ("yes", "no"))
        + FAMILY.template.closing
    )


def test_special_tokens_in_a_question_are_taken_out(tokens):
    example = scored_example(ask(text=f"Is {FAMILY.template.placeholder} there?"), 0, tokens)
    assert tokens.placeholder not in example.prompt


def test_options_are_scored_over_their_own_tokens_without_an_end(tokens):
    example = scored_example(ask(), 3, tokens)
    spelt = [tokens.tokenizer.decode(option) for option in example.responses]
    assert spelt == ["yes", "no", "", ""]
    assert example.row == 3 and tokens.end not in [t for r in example.responses for t in r]


def test_findings_are_asked_for_as_the_family_asks(tokens):
    question = ask(FINDINGS, text="cough", options=(), reference="Clear.")
    example = asked_example(question, 0, tokens, 8)
    assert tokens.tokenizer.decode(example.prompt) == prompt_text(FAMILY.template, 0, 1, "cough")


def test_what_exceeds_the_context_is_unusable(tokens):
    with pytest.raises(UnusableExample, match="exceed the context of 512"):
        asked_example(ask(), 0, tokens, 512)
