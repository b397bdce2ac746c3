"""`chexbench`: the alignment tax, of the aligned policy against SFT."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from rich.console import Console

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.data.chexbench.questions import Question
from chexjax.evaluate import chexbench, chexbench_section
from chexjax.evaluate.chexbench import Answer, Bench
from chexjax.evaluate.results import read_results, write_results
from chexjax.evaluate.studies.analyses import Section
from chexjax.judges import build_labeler
from chexjax.page import Page
from chexjax.stages.chexbench_answers import option_scores, scores_options, written_answers
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.judge import files_of, judge_of, labeler_name
from chexjax.stages.questions import QUESTIONS, is_asked
from chexjax.stages.systems import ENDS, MADE_BY
from chexjax.trackers import StageTimer

_SCORES = {name: option_scores(MADE_BY[name]) for name in ENDS}
_WRITTEN = {name: written_answers(MADE_BY[name]) for name in ENDS}
_RESULTS = "results.json"


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config, questions = context.config, context.artefact(QUESTIONS)
    answers = {name: _answers(context, name) for name in ENDS}
    asked, left_out = _answered(questions, answers.values(), config)
    if not asked:
        raise ArtefactError(
            f"no question of {questions.path} could be asked: see the rejects.jsonl of it and of "
            "the answers beside it"
        )
    baseline, test = ENDS
    bench = Bench(
        source=_source(config),
        baseline=baseline,
        test=test,
        protocols={
            protocol: chexbench.choices(asked, answers, protocol, seed=config.seed)
            for protocol in config.chexbench.protocols
        },
        texts=chexbench.texts(
            asked,
            answers,
            [judge_of(context, name) for name in config.chexbench.judges],
            build_labeler(labeler, config.judge) if (labeler := _labeler(config)) else None,
            seed=config.seed,
        ),
        left_out=left_out,
        ignored=tuple(questions.statistics["ignored"]),
        seed=config.seed,
    )
    write_results(dataclasses.asdict(bench), draft.path / _RESULTS)
    page = Page(chexbench_section.TITLE, chexbench_section.LEAD, above="chexjax chexbench")
    page.section("Result", chexbench_section.section(bench))
    page.write(draft.path / "chexbench.html")
    chexbench_section.show(bench, Console())
    return draft.finish(rows=len(asked))


def answered(system: str) -> tuple[Stage, ...]:
    """The stages that ask a policy, in their order, as far as a config needs them."""
    return QUESTIONS, _SCORES[system], _WRITTEN[system]


def right_answers(context: Context, system: str) -> dict[str, dict[str, float]]:
    """Task -> question id -> 1 where a policy is right, 0 where not, by the first protocol."""
    config, said = context.config, _answers(context, system)
    asked, _ = _answered(context.artefact(QUESTIONS), [said], config)
    found: dict[str, dict[str, float]] = {}
    for question in asked:
        if question.options:
            choice = said[question.id].choice(config.chexbench.protocols[0], len(question.options))
            found.setdefault(question.task, {})[question.id] = float(choice == question.answer)
    return found


def _answers(context: Context, system: str) -> dict[str, Answer]:
    """Question id -> what one policy said."""
    config = context.config
    found: dict[str, Answer] = {}
    if _SCORES[system].needed(config):
        for row in context.artefact(_SCORES[system]).rows():
            found[row["id"]] = Answer(logps=tuple(row["logps"]), tokens=tuple(row["tokens"]))
    if _WRITTEN[system].needed(config):
        for row in context.artefact(_WRITTEN[system]).rows():
            said = found.get(row["id"], Answer())
            found[row["id"]] = dataclasses.replace(said, text=row["text"])
    return found


def _answered(
    questions: Artefact, answers: Iterable[dict[str, Answer]], config: RunConfig
) -> tuple[list[Question], int]:
    """The questions, without images, that all policies answered in all ways; how many others."""
    said = list(answers)
    rows = questions.rows()
    found = [Question.from_row({**row, "images": []}) for row in rows]

    def complete(question: Question) -> bool:
        scored = bool(question.options) and scores_options(config)
        written = not question.options or "generate" in config.chexbench.protocols
        each = [one.get(question.id, Answer()) for one in said]
        return all((a.logps or not scored) and (a.text is not None or not written) for a in each)

    kept = [question for question in found if complete(question)]
    return kept, len(found) - len(kept) + questions.manifest.rejects


def _labeler(config: RunConfig) -> str:
    """Who reads labels from the texts of the official file; phantoms' grammar could not."""
    name = labeler_name(config)
    return name if config.chexbench.questions == "official" and name != "grammar" else ""


def _source(config: RunConfig) -> str:
    if config.chexbench.questions == "official":
        return "CheXbench, the official file"
    return f"made of held-out studies of {config.source.name}, in the manner of CheXbench"


def bench_sections(context: Context) -> list[Section]:
    """What a run's report says of the alignment tax; nothing where it asks no questions."""
    if not is_asked(context.config):
        return []
    text = (context.artefact(CHEXBENCH).path / _RESULTS).read_text("utf-8")
    bench = read_results(Bench, json.loads(text), where=_RESULTS)
    body, lead = chexbench_section.section(bench), chexbench_section.LEAD
    return [Section(chexbench_section.TITLE, body, lead)]


CHEXBENCH = Stage(
    name="chexbench",
    folder="chexbench/result",
    kind="chexbench",
    fields=("seed",),
    reads=(QUESTIONS, *_SCORES.values(), *_WRITTEN.values()),
    work=_work,
    needed=is_asked,
    extra=lambda config: {
        "protocols": list(config.chexbench.protocols),
        "judges": list(config.chexbench.judges),
        **({"labeler": labeler} if (labeler := _labeler(config)) else {}),
        **files_of(config, *config.chexbench.judges, labeler),
    },
)

ALL = (QUESTIONS, *_SCORES.values(), *_WRITTEN.values(), CHEXBENCH)
"""The stages of the alignment tax, in their order."""
