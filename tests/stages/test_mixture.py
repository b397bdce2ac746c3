"""A mixture as a user runs it: what is in it, what never is, and what a policy learns of it."""

import json
import shutil

import numpy as np
import pytest

from chexjax import artefacts
from chexjax.__main__ import main
from chexjax.config import config_dict, freeze
from chexjax.data.batches import Bucket, PlannedBatch
from chexjax.data.examples import Collator, lengths_of, pictures_of
from chexjax.data.instruct.asking import StudyTriplets
from chexjax.data.instruct.tasks import TASKS
from chexjax.data.tokens import Tokens
from chexjax.families import Family, preset
from chexjax.stages.config import RunConfig
from chexjax.stages.mixture import mixture_lessons
from tests.data.test_examples import png

pytestmark = pytest.mark.timeout(600)

EXCLUDED = ("phantom-0-000001", "phantom-0-000020")
CONFIG = """
import json
from chexjax.config import config_dict
from chexjax.stages.config import RunConfig

def get_config(arg=None):
    config = config_dict(RunConfig())
    config.source.unit = 16
    config.source.phantom.update(train=24, validate=0, test=8, size=32, lateral=0.5)
    config.policy.preset = "chexagent2_nano"
    config.sft.update(batch_size=8, total_epochs=None, total_steps=2, log_every=1)
    config.evaluate.update(studies=8, max_new_tokens=8, unit=8)
    config.mixture.update(json.loads({mixture!r}))
    return config
"""


def write(folder, **mixture):
    """A config file with a mixture."""
    mixture = {"tasks": dict.fromkeys(ANSWERED, 1.0), "unit": 10} | mixture
    file = folder / "config.py"
    file.write_text(CONFIG.format(mixture=json.dumps(mixture)))
    return f"--config={file}"


ANSWERED = [name for name in TASKS if name != "age_group"]
"""By phantoms, which have no age."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The workdir and config of an ingested source, a mixture, and a policy that learnt from it."""
    folder = tmp_path_factory.mktemp("mixture")
    for number in range(2):
        (folder / f"{number}.png").write_bytes(png(number))
    (folder / "own.jsonl").write_text(
        "".join(
            json.dumps({"instruction": f"Q{k}?", "answer": f"A{k}.", "image": names}) + "\n"
            for k, names in enumerate([[], ["0.png"], ["0.png", "1.png"]])
        )
    )
    (folder / "kept.csv").write_text("question,answer\n" + "Never ask?,Never say.\n" * 2)
    (folder / "ids.csv").write_text(
        "study_id,split\n" + "".join(f"{name},test\n" for name in EXCLUDED)
    )
    config = write(
        folder,
        tables={
            "own": {"path": str(folder / "own.jsonl")},
            "kept": {"path": str(folder / "kept.csv")},
        },
        datasets={"own": 0.25},
        held_out=["kept"],
        exclude=[str(folder / "ids.csv")],
    )
    workdir = folder / "run"
    for stage in ("ingest", "mixture", "sft"):
        assert main([stage, config, f"--workdir={workdir}"]) == 0
    return workdir, config


@pytest.fixture(scope="module")
def triplets(made):
    return list(artefacts.load(made[0] / "mixture", "mixture").rows())


def test_every_task_and_table_has_triplets_of_no_image_one_and_two(triplets):
    generated = {row["task"] for row in triplets if row["dataset"] == "phantom"}
    assert generated == set(ANSWERED)
    assert {row["dataset"] for row in triplets} == {"phantom", "own", "kept"}
    counts = {len(row["pictures"]) + len(row["images"]) for row in triplets}
    assert counts == {0, 1, 2}
    assert len({row["id"] for row in triplets}) == len(triplets)


def test_excluded_studies_are_in_no_triplet_and_among_the_rejects(made, triplets):
    about = {name for row in triplets for name in row["studies"]}
    assert not about & set(EXCLUDED) and len(about) == 32 - 2
    lines = (made[0] / "mixture" / "rejects.jsonl").read_text().splitlines()
    rejects = [json.loads(line) for line in lines]
    assert [reject["id"] for reject in rejects] == list(EXCLUDED)
    studies = artefacts.load(made[0] / "studies", "studies").rows()
    shown = {studies[row]["id"] for one in triplets for row, _ in one["pictures"]}
    assert not shown & set(EXCLUDED)


def test_pairs_stay_within_a_split(triplets):
    by_split = {"train": set(), "test": set()}
    for row in triplets:
        if row["dataset"] == "phantom":
            by_split[row["split"]] |= set(row["studies"])
    assert not by_split["train"] & by_split["test"]


def lessons(made):
    """What `sft` learns from, with the policy's tokens."""
    workdir, _ = made
    family = preset("chexagent2_nano", Family)
    sft = artefacts.load(workdir / "sft", "policy")
    stored = sft.manifest.config
    config = freeze(RunConfig, config_dict(RunConfig()).to_dict() | {"mixture": stored["mixture"]})
    tokens = Tokens.load(sft.path / "tokenizer", family)
    mixture, studies = (
        artefacts.load(workdir / folder, folder).rows() for folder in ("mixture", "studies")
    )
    return mixture_lessons(config, mixture, studies, tokens), tokens


def test_of_held_out_data_sets_and_studies_nothing_is_learnt(made, triplets):
    found, _ = lessons(made)
    learnt = {example.id for example in found.examples}
    of = {row["id"]: row for row in triplets}
    assert {of[name]["dataset"] for name in learnt} == {"phantom", "own"}
    assert {of[name]["split"] for name in learnt} == {"train"}
    assert {row["split"] for row in triplets if row["dataset"] == "kept"} == {"test"}


def test_an_epoch_has_the_planned_shares(made, triplets):
    found, _ = lessons(made)
    datasets = {row["id"]: row["dataset"] for row in triplets}
    for number in range(2):
        epoch = found.mix.epoch(number, 0)
        own = np.mean([datasets[found.examples[k].id] == "own" for k in epoch])
        # 0.25 of 1.25, which is far more than its three triplets are of all.
        assert abs(own - 0.2) < 1 / len(epoch)
        assert len(epoch) == len(found.examples)


def test_the_loss_is_on_the_answer_only(made, triplets):
    found, tokens = lessons(made)
    of = {row["id"]: row for row in triplets}
    collate = Collator(found.examples, pictures_of(found.examples, found.studies, tokens))
    chosen = {of[example.id]["task"]: k for k, example in enumerate(found.examples)}
    rows = list(chosen.values())
    bucket = Bucket(*lengths_of(found.examples).max(0).tolist())
    batch = collate(PlannedBatch(bucket, np.asarray(rows)))
    for b, row in enumerate(rows):
        triplet = of[found.examples[row].id]
        learnt = batch["targets"][b, 0][batch["mask"][b, 0]]
        assert tokens.text(learnt) == triplet["answer"]
        read = batch["prefix"]["tokens"][b][batch["prefix"]["valid"][b]]
        assert " ".join(triplet["instruction"].split()) in " ".join(tokens.text(read).split())
        shown = min(2, len(triplet["pictures"]) + len(triplet["images"]))
        assert batch["prefix"]["placeholder"][b].sum() == shown * tokens.family.vision.tokens


def test_a_report_is_asked_for_as_the_other_stages_do(made, triplets):
    found, tokens = lessons(made)
    of = {row["id"]: row for row in triplets}
    [example, *_] = [e for e in found.examples if of[e.id]["task"] == "report"]
    assert example.prompt == tokens.prompt(example.images, of[example.id]["indication"])


def test_pictures_of_a_difference_are_those_of_two_studies(made, triplets):
    found, _ = lessons(made)
    studies = {r["id"]: r for r in artefacts.load(made[0] / "studies", "studies").rows()}
    [number, *_] = [k for k, row in enumerate(triplets) if row["task"] == "difference"]
    first, second = triplets[number]["studies"]
    expected = [studies[name]["images"][0] for name in (first, second)]
    assert found.studies[number]["images"] == expected


def test_triplets_without_an_image_train_by_themselves(made, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(made[0] / "studies", workdir / "studies")
    config = write(tmp_path, tasks={"summarisation": 1.0, "text_question": 1.0})
    for stage in ("mixture", "sft"):
        assert main([stage, config, f"--workdir={workdir}"]) == 0
    lines = (workdir / "sft" / "metrics.jsonl").read_text().splitlines()
    assert [np.isfinite(json.loads(line)["loss"]) for line in lines] == [True, True]


def test_a_policy_answers_held_out_questions(made, capsys):
    workdir, config = made
    assert main(["answers", config, f"--workdir={workdir}"]) == 0
    assert "ROUGE-L" in capsys.readouterr().out
    rows = artefacts.load(workdir / "answers", "answers").rows()
    assert len(rows) == 8 and all(isinstance(row["written"], str) for row in rows)


def shards(workdir):
    return {file.name: file.read_bytes() for file in (workdir / "mixture").glob("rows-*")}


def test_a_mixture_that_was_interrupted_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    shutil.copytree(made[0] / "studies", workdir / "studies")
    command = ["mixture", made[1], f"--workdir={workdir}"]
    about, begun = StudyTriplets.about, []

    def interrupted(self, rows):
        begun.append(rows)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return about(self, rows)

    monkeypatch.setattr(StudyTriplets, "about", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(command)
    assert len(shards(workdir)) == 2
    assert main(command) == 0
    assert len(begun) == 3 + 2  # four units of studies, of which two were kept
    assert shards(workdir) == shards(made[0])


def test_another_seed_asks_other_questions(made):
    studies = artefacts.load(made[0] / "studies", "studies").rows()
    config = freeze(RunConfig, {"mixture": {"tasks": {"closed_question": 1.0}}}).mixture
    said = [
        [
            triplet.instruction
            for triplet in StudyTriplets(config, studies, source="phantom", seed=seed).about(
                range(24)
            )
        ]
        for seed in (0, 0, 1)
    ]
    assert said[0] == said[1] != said[2]


def test_tasks_of_a_study_are_drawn_by_their_weights(made):
    studies = artefacts.load(made[0] / "studies", "studies").rows()
    tasks = {"findings": 8.0, "report": 1.0, "view": 1.0}
    config = freeze(RunConfig, {"mixture": {"tasks": tasks, "per_study": 1}}).mixture
    found = list(StudyTriplets(config, studies, source="phantom", seed=0).about(range(32)))
    assert len(found) == 32
    assert 0.6 < np.mean([triplet.task == "findings" for triplet in found]) < 0.97


@pytest.mark.parametrize(
    ("mixture", "named"),
    [
        ({"tasks": {"vieww": 1.0}}, "no task 'vieww'; did you mean view?"),
        ({"tasks": {"view": -1.0}}, "tasks.view=-1.0"),
        ({"tasks": {"view": 0.0}}, "all weights are 0"),
        ({"exclude": ["none.txt"]}, "mixture.exclude=none.txt: there is no such file"),
        ({"tables": {"own": {"path": "none.csv"}}}, "mixture.tables.own.path=none.csv"),
        ({"held_out": ["phantom"]}, "no data set is left"),
    ],
)
def test_a_wrong_mixture_is_named_before_any_work(mixture, named, tmp_path, capsys):
    config = write(tmp_path, **mixture)
    assert main(["run", config, f"--workdir={tmp_path / 'run'}"]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_data_set_without_a_triplet_to_train_on_is_named(made, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(made[0] / "studies", workdir / "studies")
    file = tmp_path / "own.csv"
    file.write_text("question,answer,split\nQ?,A.,test\n")
    config = write(tmp_path, tasks={"view": 1.0}, tables={"own": {"path": str(file)}})
    assert main(["mixture", config, f"--workdir={workdir}"]) == 0
    assert main(["sft", config, f"--workdir={workdir}"]) == 2
    message = capsys.readouterr().err
    assert "config.mixture: the data set 'own' has no triplet to train on" in message


def test_without_a_mixture_there_is_nothing_to_make(made, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(made[0] / "studies", workdir / "studies")
    config = write(tmp_path, tasks={})
    assert main(["mixture", config, f"--workdir={workdir}"]) == 2
    assert "names no task and no table" in capsys.readouterr().err
