"""The alignment tax: protocols and accuracies by hand, and what the page says of them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from chexjax.config import ConfigError, freeze
from chexjax.data.chexbench.questions import BINARY, FINDINGS, VIEW, Question
from chexjax.data.study import Study
from chexjax.evaluate import chexbench_section, report
from chexjax.evaluate.chexbench import MEAN, Answer, Bench, ChexbenchConfig, choices, texts
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.studies.analyses import Section
from chexjax.judges import Labeling
from chexjax.judges.base import Judge

NAN = float("nan")


def test_the_three_protocols_choose_differently() -> None:
    answer = Answer(logps=(-3.0, -4.0, -9.0), tokens=(1, 4, 2), text="I think (C).")
    assert answer.choice("sum", 3) == 0
    assert answer.choice("mean", 3) == 1  # -3, -1, -4.5
    assert answer.choice("generate", 3) == 2


def test_the_first_of_equals_wins_and_what_is_no_number_never_does() -> None:
    assert Answer(logps=(-2.0, -2.0), tokens=(1, 1)).choice("sum", 2) == 0
    assert Answer(logps=(NAN, -2.0), tokens=(1, 1)).choice("mean", 2) == 1
    assert Answer(logps=(NAN, NAN), tokens=(1, 1)).choice("sum", 2) is None


def question(number: int, task: str, answer: int, options: int, part: str = "") -> Question:
    return Question(
        id=f"{task}/{number}",
        task=task,
        source="one" if number % 2 else "two",
        slice=part,
        text="?",
        options=("a", "b", "c", "d")[:options],
        answer=answer,
    )


QUESTIONS = (
    question(0, VIEW, 0, 3),
    question(1, VIEW, 1, 3),
    question(2, VIEW, 2, 3),
    question(3, VIEW, 0, 3),
    question(0, BINARY, 0, 2),
    question(1, BINARY, 1, 2),
)

SAID = {
    "SFT": ("(A)", "(B)", "(C)", "none", "(A)", "(B)"),
    "aligned": ("(A)", "(A)", "nothing", "", "(A)", "(A)"),
}
ANSWERS = {
    name: {q.id: Answer(text=text) for q, text in zip(QUESTIONS, said, strict=True)}
    for name, said in SAID.items()
}


def test_accuracy_chance_and_difference_are_counted_by_hand() -> None:
    views, binary, mean = choices(QUESTIONS, ANSWERS, "generate", seed=0)
    assert (views.task, views.questions, views.chance) == (VIEW, 4, pytest.approx(1 / 3))
    assert (views.accuracy["SFT"].mean, views.accuracy["aligned"].mean) == (0.75, 0.25)
    assert views.difference.mean == -0.5
    assert views.difference.low == -1 and views.difference.high == 0
    assert (binary.chance, binary.difference.mean) == (0.5, -0.5)
    assert mean.task == MEAN and mean.questions == 6
    assert mean.accuracy["SFT"].mean == pytest.approx((0.75 + 1) / 2)  # tasks weigh the same
    assert mean.difference.mean == pytest.approx(-0.5)


def test_answers_that_cannot_be_read_are_wrong_and_counted() -> None:
    views = choices(QUESTIONS, ANSWERS, "generate", seed=0)[0]
    assert views.unreadable == {"SFT": 0.25, "aligned": 0.5}


def test_accuracy_is_told_apart_by_data_set() -> None:
    views = choices(QUESTIONS, ANSWERS, "generate", seed=0)[0]
    assert views.parts["two"] == {"SFT": 1.0, "aligned": 0.5}
    assert views.parts["one"] == {"SFT": 0.5, "aligned": 0.0}
    assert views.parts["one: "] == views.parts["one"]


def test_one_task_has_no_mean() -> None:
    assert len(choices(QUESTIONS[:4], ANSWERS, "generate", seed=0)) == 1


def test_the_mean_is_over_the_tasks_of_perception() -> None:
    """Newer files have a seventh task; all wrong in it, aligned loses nothing of the mean."""
    asked = (*QUESTIONS, *(question(k, "Temporal Classification", 0, 3) for k in range(4)))
    answers = {
        name: {q.id: said.get(q.id, Answer(text="(A)" if name == "SFT" else "(B)")) for q in asked}
        for name, said in ANSWERS.items()
    }
    *_, temporal, mean = choices(asked, answers, "generate", seed=0)
    assert temporal.difference.mean == -1
    assert mean.averaged == (VIEW, BINARY) and mean.questions == 6
    assert mean.accuracy["SFT"].mean == pytest.approx((0.75 + 1) / 2)
    assert mean.difference.mean == pytest.approx(-0.5)
    said = chexbench_section.section(
        bench(protocols={"generate": choices(asked, answers, "generate", seed=0)})
    )
    assert f"Mean of the tasks: over {VIEW}, {BINARY}." in said
    # Of one task of perception there is no mean, so all count.
    few = [q for q in asked if q.task != BINARY]
    assert choices(few, answers, "generate", seed=0)[-1].averaged == (VIEW, temporal.task)


def test_texts_are_cleaned_on_both_sides_and_scored(judge: Judge) -> None:
    asked = [
        Question(id="f", task=FINDINGS, source="", text="", reference="**Edema** [x] effusion")
    ]
    answers = {"SFT": {"f": Answer(text="EDEMA")}, "aligned": {"f": Answer(text="effusion edema")}}
    [found] = texts(asked, answers, [judge], None, seed=0)
    assert (found.task, found.judge, found.texts) == (FINDINGS, "shared words", 1)
    assert (found.score["SFT"].mean, found.difference.mean) == (0.5, 0.5)


def test_labels_are_compared_over_all_texts_of_a_task(judge: Judge) -> None:
    """F1 of counts, and not a mean of the texts' own; the labels are read from plain texts."""
    names = ("Cardiomegaly", "Edema", "Fracture")

    def labeler(reports: Sequence[str]) -> list[dict[str, int]]:
        return [{name: 1 for name in names if name.lower() in report} for report in reports]

    references = ("Edema [x]", "Edema, fracture", "**Cardiomegaly**")
    asked = [
        Question(id=str(k), task=FINDINGS, source="", text="", reference=one)
        for k, one in enumerate(references)
    ]
    said = {"SFT": ("EDEMA", "nothing", "edema"), "aligned": references}
    answers = {
        name: {str(k): Answer(text=text) for k, text in enumerate(written)}
        for name, written in said.items()
    }
    shared, labelled = texts(asked, answers, [judge], Labeling("words", labeler), seed=0)
    assert shared.judge == "shared words"
    assert labelled.judge == ("mean of micro and macro F1-14 and F1-5 (words, uncertain present)")
    # SFT hits 1 of 4 labels with 2 claims, 1 of 3 of the five; of edema it hits 1 of 2 with 2.
    micro, macro = (2 * 1 / (4 + 2), 2 * 1 / (3 + 2)), (0.5 / 14, 0.5 / 5)
    assert labelled.score["SFT"].mean == pytest.approx((sum(micro) + sum(macro)) / 4)
    perfect = (1 + 1 + 3 / 14 + 2 / 5) / 4
    assert labelled.score["aligned"].mean == pytest.approx(perfect)
    assert labelled.difference.mean == pytest.approx(perfect - labelled.score["SFT"].mean)
    low, high = labelled.score["SFT"].low, labelled.score["SFT"].high
    assert low == 0 and high == pytest.approx((1 + 1 + 1 / 14 + 1 / 5) / 4)  # the first text alone
    assert labelled.texts == 3 and labelled.difference.sign >= 0


def bench(**fields: object) -> Bench:
    protocols = {"generate": choices(QUESTIONS, ANSWERS, "generate", seed=0)}
    given = Bench(
        source="made by hand",
        baseline="SFT",
        test="aligned",
        protocols=protocols,
        texts=(),
        left_out=3,
        ignored=("Phrase Grounding",),
        seed=0,
    )
    return dataclasses.replace(given, **fields)


def test_a_result_is_the_same_after_it_was_stored() -> None:
    stored = json.loads(json.dumps(dataclasses.asdict(bench())))
    assert freeze(Bench, stored) == bench()


def test_the_verdict_says_what_was_lost_and_what_was_unreadable() -> None:
    [said] = chexbench_section.verdict(bench())
    assert said.startswith("By generation (the letter in a written answer), aligned ")
    assert "37.5\u00a0% right against 87.5\u00a0%, chance 41.7\u00a0%" in said
    assert "difference \u221250.0 points" in said
    assert "counted as wrong: SFT 12.5\u00a0%, aligned 25.0\u00a0%" in said


def test_the_page_has_the_section_only_where_it_was_measured(
    evaluation: Evaluation, studies: list[Study], tmp_path: Path
) -> None:
    def written(found: Bench | None) -> str:
        path = tmp_path / "report.html"
        title, lead = chexbench_section.TITLE, chexbench_section.LEAD
        shown = [Section(title, chexbench_section.section(found), lead)] if found else []
        report.write(
            evaluation,
            studies.__getitem__,
            sections=shown,
            curves={},
            timings=None,
            facts={},
            path=path,
        )
        return path.read_text(encoding="utf-8")

    page = written(bench())
    section = re.search(r'<section id="alignment-tax">.*?</section>', page, re.DOTALL)
    assert section is not None
    row = re.search(rf'<th scope="row">{VIEW}</th>(.*?)</tr>', section[0])
    assert row is not None
    cells = [re.sub(r"<small>.*?</small>|<[^>]+>", "", c) for c in row[1].split("</td>")[:-1]]
    assert cells == ["75.0", "25.0", "\u221250.0", "33.3", "25.0", "50.0", "4"]
    assert "3 questions could not be asked" in section[0] and "Phrase Grounding" in section[0]
    assert "alignment-tax" not in written(None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"questions": "official"}, "chexbench.path is empty"),
        ({"questions": "studies", "path": "x"}, "set chexbench.questions to 'official'"),
        ({"protocols": ()}, "chexbench.protocols is empty"),
        ({"protocols": ("median",)}, "one of 'sum', 'mean', 'generate'"),
        ({"count": 0}, "chexbench.count=0"),
    ],
)
def test_a_config_that_measures_nothing_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        freeze(ChexbenchConfig, values)
