"""A small judge, trained, stored and examined at toy size."""

import collections
import json
import shutil

import numpy as np
import pytest

from chexjax.__main__ import main
from chexjax.data.intake import check
from chexjax.data.sources.registry import SourceConfig, open_source
from chexjax.data.study import Study
from chexjax.data.views import ViewRules
from chexjax.judges import parse_judgement
from chexjax.judges.answer import CATEGORIES
from chexjax.judges.lessons import EditedLessons
from chexjax.judges.trained import TrainedJudge
from chexjax.mesh import MeshConfig, make_mesh
from tests.stages.conftest import ROOT

TEXT_ALONE = ViewRules(most=0)
CONFIG = f"{ROOT / 'configs' / 'train_judge.py'}:small"


def run(workdir, *flags, stage="train_judge", config=CONFIG):
    return main([stage, f"--config={config}", f"--workdir={workdir}", *flags])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("judge")
    assert run(workdir) == 0
    return workdir


def statistics(workdir):
    manifest = json.loads((workdir / "trained_judge" / "manifest.json").read_text())
    return manifest["statistics"]


def weights(workdir):
    return (workdir / "trained_judge" / "judge" / "model.safetensors").read_bytes()


def test_it_leaves_a_judge_that_can_be_loaded_and_says_how_it_did(trained, capsys):
    folder = trained / "trained_judge" / "judge"
    judge = TrainedJudge.load(folder, make_mesh(MeshConfig()))
    assert judge.limit == 32
    (found,) = statistics(trained)["examinations"].values()
    assert found["pairs"] == 16 and 0 <= found["well_formed"] <= 1
    card = (folder / "README.md").read_text("utf-8")
    assert f"| ROUGE-L | {found['tau_rouge_l']:.3f} |" in card
    assert run(trained) == 0
    assert "is finished, nothing to do" in capsys.readouterr().out


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(trained, tmp_path, monkeypatch):
    from chexjax.stages import train_judge

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(train_judge, "judge_card", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert not (tmp_path / "trained_judge" / "manifest.json").exists()
    assert run(tmp_path) == 0
    assert weights(tmp_path) == weights(trained)


def test_training_goes_on_from_a_judge_and_says_so(trained, tmp_path):
    judge = trained / "trained_judge" / "judge"
    assert run(tmp_path, f"--config.train_judge.start={judge}", "--config.seed=1") == 0
    folder = tmp_path / "trained_judge" / "judge"
    assert (folder / "tokenizer.json").read_bytes() == (judge / "tokenizer.json").read_bytes()
    assert [one["seed"] for one in json.loads((folder / "judge.json").read_text())["made"]] == [
        0,
        1,
    ]
    assert "runs before" in (folder / "README.md").read_text("utf-8")
    assert weights(tmp_path) != weights(trained)


def test_reports_of_a_source_are_edited_and_the_test_split_examines(tmp_path):
    edits = CONFIG + ",edits"
    assert run(tmp_path, stage="ingest", config=edits) == 0
    assert run(tmp_path, config=edits) == 0
    assert list(statistics(tmp_path)["examinations"]) == ["other reports"]


def test_reports_of_open_i_are_edited_and_examine(tmp_path, real_data):
    """Text alone, and few of it; all that the collection says of itself is in data/test_openi."""
    edits = CONFIG + ",edits"
    source = [
        "--config.source.name=openi",
        f"--config.source.path={real_data / 'openi-reports'}",
        "--config.source.views.most=0",
        "--config.source.unit=1024",
    ]
    assert run(tmp_path, *source, stage="ingest", config=edits) == 0
    assert run(tmp_path, *source, config=edits) == 0
    found = statistics(tmp_path)
    assert found["examples"] == 32 and found["steps"] == 8
    assert found["examinations"]["other reports"]["pairs"] == 16
    losses = (tmp_path / "trained_judge" / "metrics.jsonl").read_text().splitlines()
    first, *_, last = [json.loads(line)["loss"] for line in losses]
    assert last < first


def test_errors_in_reports_of_open_i_are_read_back_from_the_answers(real_data):
    source = SourceConfig(name="openi", path=str(real_data / "openi-reports"), views=TEXT_ALONE)
    read = check(open_source(source), range(400))
    reports = [study.findings for study in read if isinstance(study, Study)]
    lessons = EditedLessons(reports, 0)
    found = collections.Counter()
    for lesson in (lessons[k] for k in range(len(reports))):
        assert all(lesson.candidates)
        for answer, verdict in zip(lesson.answers, lesson.verdicts, strict=True):
            said = parse_judgement(answer)
            assert said.details["well_formed"] and said.score == verdict.score
            assert said.details["significant"] == verdict.details["significant"]
            found.update(verdict.details["significant"])
    assert min(found[category] for category in CATEGORIES) > 10, found


def test_the_candidates_of_a_run_examine_it_too(finished, tmp_path):
    shutil.copytree(finished / "candidates", tmp_path / "run" / "candidates")
    assert run(tmp_path / "own", f"--config.train_judge.run={tmp_path / 'run'}") == 0
    found = statistics(tmp_path / "own")["examinations"]
    sampled = found["candidates that policies sampled"]
    assert sampled["pairs"] == 24 * 4


def test_edited_reports_have_no_oracle_for_the_candidates_of_a_run(tmp_path, capsys):
    assert run(tmp_path, f"--config.train_judge.run={tmp_path}", config=CONFIG + ",edits") != 0
    assert "train_judge.run" in capsys.readouterr().err


def test_training_is_on_the_answers_alone():
    from chexjax.families import TextFamily, preset
    from chexjax.judges.lessons import PhantomLessons
    from chexjax.judges.vocabulary import train_vocabulary
    from chexjax.stages.train_judge import _examples, _texts

    lessons = [PhantomLessons(0)[k] for k in range(4)]
    tokenizer = train_vocabulary(_texts(lessons), 512)
    examples, rejects = _examples(lessons, tokenizer, preset("green_pico", TextFamily))
    assert not rejects
    for example, lesson in zip(examples, lessons, strict=True):
        for ids, told, answer, candidate in zip(
            example.responses,
            example.columns["weights"],
            lesson.answers,
            lesson.candidates,
            strict=True,
        ):
            learnt = np.asarray(told) > 0
            assert tokenizer.decode(np.asarray(ids)[learnt], skip_special_tokens=True) == answer
            asked = tokenizer.decode(np.asarray(ids)[~learnt])
            assert asked == f" {candidate}\n\n".lower()
        asked = tokenizer.decode(example.prompt)
        assert (
            asked
            == f"\n[Reference]: {lesson.reference}".lower().replace("[reference]", "[Reference]")
            + "\n[Candidate]:"
        )
