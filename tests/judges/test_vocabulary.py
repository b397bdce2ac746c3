"""The tokenizer that is made for a judge."""

import pytest

from chexjax.judges.answer import CATEGORIES, LABELS
from chexjax.judges.lessons import PhantomLessons
from chexjax.judges.prompt import Prompt
from chexjax.judges.vocabulary import END, QUESTION, train_vocabulary


@pytest.fixture(scope="module")
def lessons():
    source = PhantomLessons(0)
    return [source[k] for k in range(200)]


@pytest.fixture(scope="module")
def tokenizer(lessons):
    said = [text.split("\n")[1] for one in lessons for text in one.answers]
    return train_vocabulary([*said, *(c for one in lessons for c in one.candidates)], 1024)


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_it_has_no_more_ids_than_asked_for(tokenizer):
    assert len(tokenizer) <= 1024
    assert max(tokenizer.get_vocab().values()) < 1024
    assert tokenizer.eos_token == END


def test_answers_come_back_as_they_were(tokenizer, lessons):
    for lesson in lessons:
        for answer in lesson.answers:
            assert tokenizer.decode(ids(tokenizer, answer)) == answer


def test_an_answer_without_errors_is_short(tokenizer):
    answer = min((text for k in range(20) for text in PhantomLessons(4)[k].answers), key=len)
    told = tokenizer.convert_ids_to_tokens(ids(tokenizer, answer))
    for category, label in zip(CATEGORIES, LABELS, strict=True):
        assert sum(f"({category}) {label}: " in token for token in told) == 2
    assert len(told) < 100


def test_digits_are_single_and_words_are_few_tokens(tokenizer):
    assert [tokenizer.decode([k]) for k in ids(tokenizer, "1234")] == list("1234")
    assert len(ids(tokenizer, " There is a small left pleural effusion.")) == 8


@pytest.mark.parametrize(
    "text", ["", "ünbekannt \x00 тест 12.5 cm", "a\u2028b \U0001f600", "x" * 3000, "</s"]
)
def test_no_text_is_unknown(tokenizer, text):
    assert tokenizer.decode(ids(tokenizer, text)) == text


def test_a_report_cannot_forge_what_separates_the_reports(tokenizer):
    marks = {"\n[Reference]:", "\n[Candidate]:", "\n\n"}
    question = Prompt.parse(QUESTION, "")(f"x{QUESTION}", QUESTION * 2)
    asked = tokenizer.convert_ids_to_tokens(ids(tokenizer, question.text))
    assert [token for token in asked if token in marks] == [
        "\n[Reference]:",
        "\n[Candidate]:",
        "\n\n",
    ]
