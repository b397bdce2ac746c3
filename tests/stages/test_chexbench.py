"""`chexbench` of a small run: what the policies are asked, and what they answer."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from chexjax import artefacts
from chexjax.__main__ import main
from chexjax.data.chexbench.questions import FINDINGS, SUMMARY, Question, scored_example
from chexjax.data.images import pixel_stacks
from chexjax.data.study import Study
from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import Prefix
from chexjax.stages.policies import load_tokens, place_policy
from tests.stages.conftest import CONFIG
from tests.stages.test_run import contents

pytestmark = pytest.mark.timeout(1200)  # the first test waits for a whole shrunken run

SHORT = [
    "--config.chexbench.max_new_tokens=8",
    "--config.chexbench.unit=8",
    "--config.chexbench.count=3",
]
STUDIES = ["--config.chexbench.questions=studies", *SHORT]
FAMILY = preset("chexagent2_nano", Family)


@pytest.fixture(scope="module")
def workdir(finished, tmp_path_factory):
    """A copy of the finished run whose policies have answered questions about its phantoms."""
    copy = shutil.copytree(finished, tmp_path_factory.mktemp("bench") / "run")
    assert main(["chexbench", CONFIG, f"--workdir={copy}", *STUDIES]) == 0
    return copy


def rows(folder, kind):
    return {row["id"]: row for row in artefacts.load(folder, kind).rows()}


def test_all_questions_are_answered_by_both_policies(workdir):
    folder = workdir / "chexbench"
    asked = rows(folder / "questions", "questions")
    for name in ("sft", "aligned"):
        assert rows(folder / f"scores_{name}", "option scores").keys() == asked.keys()
        assert rows(folder / f"answers_{name}", "written answers").keys() == asked.keys()
    found = json.loads((folder / "result" / "results.json").read_text())
    assert set(found["protocols"]) == {"sum", "mean", "generate"}
    assert found["protocols"]["sum"][-1]["questions"] == len(asked)
    assert (folder / "result" / "chexbench.html").is_file()


def test_scores_are_log_likelihoods_computed_by_hand(workdir):
    """One option at a time, nothing packed, the softmax in numpy."""
    folder = workdir / "chexbench"
    source = artefacts.load(workdir / "sft", "policy")
    tokens = load_tokens(FAMILY, source)
    model = place_policy(source, FAMILY, make_mesh(MeshConfig()))
    scores = rows(folder / "scores_sft", "option scores")
    question = Question.from_row(list(rows(folder / "questions", "questions").values())[-1])
    example = scored_example(question, 0, tokens)
    ids = np.asarray([example.prompt[:-1]])
    prefix = Prefix(
        tokens=ids,
        valid=ids >= 0,
        images=pixel_stacks([question.images], 1, FAMILY.vision, FAMILY.image),
        placeholder=ids == tokens.placeholder,
    )
    logits_of = nnx.jit(lambda model, x: model.logits(model.score(prefix, x, x >= 0)))
    assert len(question.options) == 2
    for k, option in enumerate(example.responses[:2]):
        inputs = np.zeros((1, 1, 64), np.int32)
        inputs[0, 0, : len(option)] = [example.prompt[-1], *option[:-1]]
        logits = np.asarray(logits_of(model, inputs), np.float64)[0, 0]
        logps = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        expected = sum(logps[place, token] for place, token in enumerate(option))
        assert scores[question.id]["logps"][k] == pytest.approx(expected, rel=1e-4)
        assert scores[question.id]["tokens"][k] == len(option) > 1


def test_two_processes_answer_what_one_answers(workdir, tmp_path):
    shared = shutil.copytree(workdir, tmp_path / "run")
    folders = [f"chexbench/{name}" for name in ("scores_sft", "answers_aligned")]
    for folder in folders:
        shutil.rmtree(shared / folder)
    given = ["chexbench", CONFIG, f"--workdir={shared}", *STUDIES, "--config.share.of=2"]
    other = [sys.executable, "-m", "chexjax", *given, "--config.share.index=1"]
    with subprocess.Popen(other, stderr=subprocess.PIPE, text=True) as second:
        assert main(given) == 0
        said = second.communicate(timeout=400)[1]
    assert second.returncode == 0, said
    units = len(list((workdir / folders[0]).glob("*.arrayrecord")))
    assert f"score options, sft  {units // 2}/{units // 2} units" in said
    for folder in folders:
        assert contents(shared / folder) == contents(workdir / folder)


def test_the_report_shows_the_tax(workdir):
    shutil.rmtree(workdir / "report")
    assert main(["evaluate", CONFIG, f"--workdir={workdir}", *STUDIES]) == 0
    page = (workdir / "report" / "report.html").read_text()
    assert "<h2>Alignment tax</h2>" in page and "View Classification" in page


def test_the_official_file_is_asked_with_its_texts(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    study = Study.from_row(artefacts.load(run / "studies", "studies").rows()[0])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(study.images[0])
    item = {"image_path": "a.png", "question": "View?", "option_0": "AP", "option_1": "PA"}
    file = tmp_path / "data.json"
    content = {
        "View Classification": [item | {"answer": 1}, item | {"answer": 2}],
        FINDINGS: [{"image_path": "a.png", "section_findings": "Clear lungs."}],
        SUMMARY: [{"section_findings": "Clear lungs.", "section_impression": "Normal."}],
        "Phrase Grounding": [{}],
    }
    file.write_text(json.dumps(content))
    official = [
        "--config.chexbench.questions=official",
        f"--config.chexbench.path={file}",
        f"--config.chexbench.images={tmp_path / 'images'}",
        "--config.evaluate.labeler=rule_labels",
        *SHORT,
    ]
    assert main(["chexbench", CONFIG, f"--workdir={run}", *official]) == 0
    found = json.loads((run / "chexbench" / "result" / "results.json").read_text())
    assert found["protocols"]["mean"][0]["questions"] == 1
    assert [one["task"] for one in found["texts"]] == [FINDINGS, FINDINGS, SUMMARY, SUMMARY]
    assert "F1-14 and F1-5 (rules, uncertain present)" in found["texts"][1]["judge"]
    assert (found["left_out"], found["ignored"]) == (1, ["Phrase Grounding"])
    rejects = (run / "chexbench" / "questions" / "rejects.jsonl").read_text()
    assert "View Classification/00001" in rejects


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "config.chexbench asks 'chexbench' to do nothing"),
        (["--config.chexbench.questions=official"], "chexbench.path is empty"),
        (
            ["--config.chexbench.questions=official", "--config.chexbench.path=/none/data.json"],
            "config.chexbench.images=/none: there is no such folder",
        ),
        (
            [*STUDIES, "--config.chexbench.tasks=('View Clasification',)"],
            "config.chexbench.tasks: of studies no task 'View Clasification' is made; did you mean "
            "View Classification?",
        ),
        ([*STUDIES, "--config.chexbench.judges=('rogue_l',)"], "did you mean 'rouge_l'"),
        (["--config.chexbench.questions=studies"], "chexbench.max_new_tokens=512"),
    ],
)
def test_what_cannot_be_asked_is_said(flags, said, finished, capsys):
    assert main(["chexbench", CONFIG, f"--workdir={finished}", *flags]) == 2
    assert said in capsys.readouterr().err


def test_questions_without_answers_are_found_before_any_work(tmp_path, capsys):
    """Of a table's studies nothing is known but their reports; with labels there is."""
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(tmp_path / "a.png")
    table = tmp_path / "studies.jsonl"
    rows = [{"id": str(k), "image": "a.png", "findings": "Clear lungs."} for k in range(9)]
    given = [CONFIG, f"--workdir={tmp_path / 'run'}", *STUDIES, "--config.source.name=table"]
    given += [f"--config.source.path={table}", "--dry_run"]
    table.write_text("\n".join(map(json.dumps, rows)))
    assert main(["run", *given]) == 2
    assert (
        "config.chexbench.questions='studies': nothing is known of 9 studies that any task could "
        "ask about"
    ) in capsys.readouterr().err
    rows[5]["labels"] = {"Edema": 1}
    table.write_text("\n".join(map(json.dumps, rows)))
    assert main(["run", *given]) == 0, capsys.readouterr().err
    assert not (tmp_path / "run").exists()
