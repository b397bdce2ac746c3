"""`train_judge`: a small judge of reports, trained on reports whose errors are known."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from transformers import PreTrainedTokenizerFast

from chexjax import artefacts
from chexjax.artefacts import Artefact, ArtefactError, Draft, write_atomic
from chexjax.artefacts.files import sha256
from chexjax.config import ConfigError
from chexjax.data.batches import Plan, make_buckets
from chexjax.data.examples import Collator, Example, lengths_of, response_lengths
from chexjax.data.packing import Groups, Packer
from chexjax.families import TextFamily, preset
from chexjax.judges import Judgement, PhantomOracle, parse_judgement
from chexjax.judges.examination import examine
from chexjax.judges.lessons import EditedLessons, Lesson, PhantomLessons
from chexjax.judges.prompt import Prompt, shorten
from chexjax.judges.trained import (
    JUDGE_FILE,
    QUESTION_FILE,
    TrainedJudge,
    made,
    write_answers,
)
from chexjax.judges.vocabulary import QUESTION, train_vocabulary
from chexjax.mesh import batch_ways, parameter_shardings
from chexjax.models import LanguageModel, random_params
from chexjax.perf import flops
from chexjax.rows import Reject
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import length_in_steps, write_rejects
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge_card import judge_card
from chexjax.stages.policies import KEPT
from chexjax.trackers import StageTimer
from chexjax.train import SFT, Load, TrainingData, train
from chexjax.weights import save
from chexjax.weights.config import describe

FOLDER = "judge"
_CONTENT = (".safetensors", ".json")  # files of a judge that decide what it answers
_READ_FOR_WORDS = 4000  # lessons whose words the tokenizer learns
_OTHER_PEOPLE = 7919  # added to the seed of what is examined


class Lessons(Protocol):
    """Any number of lessons."""

    def __getitem__(self, index: int) -> Lesson:
        """One of them."""
        ...


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.train_judge
    learnt, examined = _lessons(context)
    lessons = [learnt[k] for k in range(config.lessons)]
    family = preset(config.preset, TextFamily)
    judge = _start(context, family, lessons)
    examples, rejects = _examples(lessons, judge.tokenizer, family)
    write_rejects(draft, rejects)
    if not examples:
        raise ArtefactError(f"train_judge: no lesson fits the context of {family.name}")
    runs = _runs(context.config)
    write = functools.partial(_write, family=family, judge=judge, runs=runs)
    kept: dict[str, Sequence[str]] = {}

    def keep(step: int, because: Sequence[str], params: nnx.State) -> None:
        write(draft.path / KEPT / str(step), params)
        kept[str(step)] = because

    params, steps = _fit(context, draft, timer, judge.model, family, examples, keep)
    statistics = {
        "steps": steps,
        "examples": len(examples),
        "candidates": config.candidates,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "answer_tokens": _answer_tokens(examples),
        **({"kept": kept} if kept else {}),
    }
    folder = draft.path / FOLDER
    write(folder, params)
    finished = TrainedJudge.load(folder, context.mesh)
    statistics["examinations"] = {
        name: _examined(finished, pairs, truths) for name, (pairs, truths) in examined.items()
    }
    write_atomic(folder / "README.md", judge_card(family, statistics, config, runs))
    for name, found in statistics["examinations"].items():
        print(
            f"train_judge: {name}: tau {found['tau']:.3f} (words alone {found['tau_length']:.3f}, "
            f"ROUGE-L {found['tau_rouge_l']:.3f}), well formed {found['well_formed']:.1%}, "
            f"{found['pairs']:,} pairs",
            flush=True,
        )
    return draft.finish(statistics=statistics, rejects=len(rejects))


def _start(context: Context, family: TextFamily, lessons: Sequence[Lesson]) -> TrainedJudge:
    """The judge before it is trained."""
    config = context.config.train_judge
    if config.start:
        options = {"dtype": context.dtype, "remat": config.train.remat}
        judge = TrainedJudge.load(Path(config.start), context.mesh, **options)
        return dataclasses.replace(judge, limit=config.limit)
    tokenizer = train_vocabulary(_texts(lessons[:_READ_FOR_WORDS]), family.decoder.vocabulary)
    graph, shapes = LanguageModel.abstract(family, dtype=context.dtype, remat=config.train.remat)
    params = random_params(shapes, layers=family.decoder.layers, seed=context.config.seed)
    places = parameter_shardings(shapes, family.sharding, context.mesh)
    model = nnx.merge(graph, jax.device_put(params, places))
    prompt = Prompt.parse(QUESTION, "vocabulary.QUESTION")
    return TrainedJudge(model, tokenizer, prompt, config.limit)


def _runs(config: RunConfig) -> list[Mapping[str, Any]]:
    """Settings of the runs before, and of this one."""
    own = dataclasses.asdict(config.train_judge)
    del own["run"], own["start"]  # places on somebody's machine
    start = config.train_judge.start
    return [*(made(Path(start)) if start else ()), {"seed": config.seed, "train_judge": own}]


Exam = tuple[Sequence[tuple[str, str]], Sequence[Judgement]]
"""Pairs of a reference and a candidate, and what is true of them."""


def _lessons(context: Context) -> tuple[Lessons, dict[str, Exam]]:
    """What is learnt from, and the examinations."""
    config, seed = context.config.train_judge, context.config.seed
    others = seed + _OTHER_PEOPLE
    if config.errors == "content":
        kept = PhantomLessons(others, count=config.candidates, examined=True)
        exams = {"phrasings kept out of training": _exam(kept, config.examined)}
        if config.run:
            exams["candidates that policies sampled"] = _sampled(Path(config.run))
        return PhantomLessons(seed, count=config.candidates), exams
    reports = _reports(context)
    learnt, examined = (EditedLessons(r, s, count=config.candidates) for r, s in reports)
    return learnt, {"other reports": _exam(examined, config.examined)}


def _reports(context: Context) -> list[tuple[list[str], int]]:
    """Reports to learn from and reports to be examined with, each with a seed."""
    seed = context.config.seed
    rows = context.artefact(INGEST).rows()
    found = []
    for split, own in (("train", seed), ("test", seed + _OTHER_PEOPLE)):
        reports = [row["findings"] for row in rows if row["split"] == split]
        if len(reports) < 2:
            raise ArtefactError(
                f"train_judge: {len(reports)} reports in split {split!r}; errors are taken from "
                "one report into another, so give the source two of each split at least"
            )
        found.append((reports, own))
    return found


def _exam(lessons: Lessons, count: int) -> Exam:
    chosen = [lessons[k] for k in range(count)]
    pairs = [(one.reference, c) for one in chosen for c in one.candidates]
    return pairs, [verdict for one in chosen for verdict in one.verdicts]


def _sampled(workdir: Path) -> Exam:
    rows = artefacts.load(workdir / "candidates", "candidates").rows()
    pairs = [(row["reference"], one["report"]) for row in rows for one in row["candidates"]]
    return pairs, PhantomOracle().judge([r for r, _ in pairs], [c for _, c in pairs])


def _texts(lessons: Sequence[Lesson]) -> list[str]:
    answers = (text for one in lessons for text in one.answers)
    said = [answer.split("\n")[1] for answer in answers]
    return [*said, *(text for one in lessons for text in (one.reference, *one.candidates))]


def _examples(
    lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerFast, family: TextFamily
) -> tuple[list[Example], list[Reject]]:
    """Questions up to the candidate as prompts; candidates with their answers as responses."""
    examples, rejects = [], []
    for row, lesson in enumerate(lessons):
        example = _example(f"lesson-{row:06d}", row, lesson, tokenizer)
        if sum(example.lengths) + 1 > family.decoder.context:
            reason = f"{sum(example.lengths) + 1} tokens exceed {family.decoder.context} positions"
            rejects.append(Reject(example.id, reason))
        else:
            examples.append(example)
    return examples, rejects


def _example(name: str, row: int, lesson: Lesson, tokenizer: PreTrainedTokenizerFast) -> Example:
    """One reference; of what follows it, the answers alone have weight."""
    prompt = Prompt.parse(QUESTION, "vocabulary.QUESTION")
    shared = _ids(tokenizer, prompt.preamble + shorten(lesson.reference) + prompt.between.rstrip())
    responses, weights = [], []
    for candidate, answer in zip(lesson.candidates, lesson.answers, strict=True):
        asked = _ids(tokenizer, prompt(lesson.reference, candidate).text)[len(shared) :]
        told = [*_ids(tokenizer, answer), tokenizer.eos_token_id]
        responses.append([*asked, *told])
        weights.append([0.0] * len(asked) + [1.0] * len(told))
    return Example(
        id=name,
        row=row,
        images=0,
        prompt=shared,
        responses=responses,
        columns={"weights": weights},
    )


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def _answer_tokens(examples: Sequence[Example]) -> float:
    counts = [sum(weights) for one in examples for weights in one.columns["weights"]]
    return sum(counts) / len(counts)


def _fit(
    context: Context,
    draft: Draft,
    timer: StageTimer,
    model: LanguageModel,
    family: TextFamily,
    examples: Sequence[Example],
    keep: Callable[[int, Sequence[str], nnx.State], None],
) -> tuple[nnx.State, int]:
    """Trains a model on the examples; returns its parameters and the steps taken."""
    config = context.config.train_judge.train
    steps = length_in_steps(config, "train_judge.train", len(examples))
    lengths = lengths_of(examples)
    buckets = make_buckets(lengths, config.buckets)
    seed = context.config.seed
    plan = Plan(lengths=lengths, buckets=buckets, batch_size=config.batch_size, seed=seed)
    groups = Groups(
        config.batch_size // config.accumulate // batch_ways(context.mesh), config.accumulate
    )
    epochs = range(-(-steps // plan.batches_per_epoch))
    batches = (batch for number in epochs for batch in plan.epoch(number))
    packer = Packer.of(batches, response_lengths(examples), groups, {"rows": slice(None)})
    data = TrainingData(
        plan=plan,
        collate=Collator(examples, packer=packer),
        ids=[one.id for one in examples],
        prefix=lengths[:, 0],
        responses=response_lengths(examples),
        useful=functools.partial(_useful, family),
    )
    trained = train(
        model,
        family,
        SFT(keep=config.keep_exponentials),
        data,
        config=config,
        steps=steps,
        mesh=context.mesh,
        folder=draft.path,
        scratch=draft.scratch,
        timer=timer,
        watch=context.watch(draft.path),
        label="train_judge",
        keep=keep,
    )
    return trained, steps


def _useful(family: TextFamily, load: Load) -> float:
    """Operations of a step on what is real of a batch, each prompt with one answer."""
    rows = load.examples
    each = {"prefix": load.prefix / rows, "response": load.response / rows}
    work = flops.Work(images=0, prefixes=rows, responses=rows, rows=load.response, **each)
    return flops.text_step(family, work)


def _write(
    folder: Path,
    params: nnx.State,
    *,
    family: TextFamily,
    judge: TrainedJudge,
    runs: Sequence[Mapping[str, Any]],
) -> None:
    """The judge's folder, all but its card; what an earlier attempt left of it is overwritten."""
    for file in folder.glob("*.safetensors"):
        file.unlink()
    judge.tokenizer.save_pretrained(folder)
    write_atomic(folder / QUESTION_FILE, QUESTION)
    told = {"preset": family.name, "limit": judge.limit, "made": list(runs)}
    write_atomic(folder / JUDGE_FILE, json.dumps(told, indent=2) + "\n")
    heads = family.decoder.block.heads
    config = describe(family, "bfloat16")
    save(folder, params, family.names, config=config, heads=heads, dtype=jnp.bfloat16)


def _examined(
    judge: TrainedJudge, pairs: Sequence[tuple[str, str]], truths: Sequence[Judgement]
) -> dict[str, Any]:
    verdicts = [parse_judgement(text) for text in write_answers(judge, pairs)]
    return examine([r for r, _ in pairs], [c for _, c in pairs], truths, verdicts)


def _content(config: RunConfig) -> Mapping[str, Any]:
    """The judge to go on from and the candidates to be examined with, by what they hold."""
    own, found = config.train_judge, dict[str, Any]()
    if own.start:
        files = (f for f in sorted(Path(own.start).glob("*")) if f.suffix in _CONTENT)
        found["start"] = {file.name: sha256(file) for file in files}
    if own.run:
        if own.errors != "content":
            raise ConfigError(
                "config.train_judge.run is judged beside the phantoms' oracle, which knows nothing "
                "of other reports; leave it empty, or set errors='content'"
            )
        sampled = artefacts.load(Path(own.run) / "candidates", "candidates")
        found["candidates"] = sampled.identity
    return found


def _reads(config: RunConfig) -> tuple[Stage, ...]:
    return (INGEST,) if config.train_judge.errors == "edits" else ()


TRAIN_JUDGE = Stage(
    name="train_judge",
    folder="trained_judge",
    kind="judge",
    fields=("seed", "train_judge"),
    reads=_reads,
    work=_work,
    extra=_content,
)
