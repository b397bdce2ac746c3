"""The judge stage with GREEN behind an endpoint."""

import json
import math
import shutil

import pytest

from chexjax.__main__ import main
from chexjax.data.text import plain_findings
from chexjax.rows import Rows
from tests.judges.endpoint import QUESTION, oracle, serve
from tests.stages.conftest import CONFIG


@pytest.fixture
def started(finished, tmp_path):
    """A run that has its candidates."""
    shutil.copytree(finished, tmp_path / "run")
    for folder in ("scores", "pairs"):
        shutil.rmtree(tmp_path / "run" / folder)
    (tmp_path / "question.txt").write_text(QUESTION, "utf-8")
    return tmp_path / "run"


def run(workdir, url, *flags, stage="judge", name="lc_green"):
    green = "--config.judge.green"
    return main(
        [
            stage,
            CONFIG,
            f"--workdir={workdir}",
            f"--config.judge.name={name}",
            f"{green}.question={workdir.parent / 'question.txt'}",
            f"{green}.endpoint.url={url}",
            f"{green}.endpoint.model=oracle",
            f"{green}.endpoint.retries=0",
            f"{green}.endpoint.concurrency=4",
            *flags,
        ]
    )


def rows(folder):
    return list(Rows(sorted(folder.glob("*.arrayrecord"))))


def statistics(folder):
    return json.loads((folder / "manifest.json").read_text("utf-8"))["statistics"]


def test_a_judge_that_fails_half_way_loses_and_doubles_no_judgement(started, capsys):
    candidates = rows(started / "candidates")
    pairs = {(r["reference"], c["report"]) for r in candidates for c in r["candidates"]}
    with serve(oracle) as served:

        def failing(path, request):
            late = len(served.requests) > len(pairs) // 2
            return (503, {}, {"error": {}}) if late else oracle(path, request)

        served.answer = failing
        assert run(started, served.url) == 2
        assert "InternalServerError (HTTP 503)" in capsys.readouterr().err
        failed = sum(1 for _ in served.requests) - len(pairs) // 2
        served.answer = oracle
        assert run(started, served.url, "--config.judge.green.endpoint.prices=(1.0, 2.0)") == 0
        assert len(served.requests) - failed == len(pairs)
    found = statistics(started / "scores")
    assert found["judged"] == len(pairs)
    assert found["tokens"] == {"asked": 100 * len(pairs), "written": 10 * len(pairs)}
    assert found["dollars"] == pytest.approx(len(pairs) * (100 * 1.0 + 10 * 2.0) / 1e6)
    assert found["unscored"] == 0
    assert found["errors"]["reports"] == sum(len(row["candidates"]) for row in candidates)


def test_studies_without_a_score_are_rejected_from_pairs_and_counted(started):
    unlucky = rows(started / "candidates")[0]

    def mute(path, request):
        question = request["messages"][0]["content"]
        return "" if plain_findings(unlucky["reference"]) in question else oracle(path, request)

    with serve(mute) as served:
        assert run(started, served.url) == 0
        assert run(started, served.url, stage="pair") == 0
    scored = rows(started / "scores")
    assert all(math.isnan(one["score"]) for one in scored[0]["judgements"])
    assert statistics(started / "scores")["unscored"] >= len(unlucky["candidates"])
    rejects = (started / "pairs" / "rejects.jsonl").read_text("utf-8")
    assert json.loads(rejects.splitlines()[0])["id"] == unlucky["id"]


def test_another_question_is_another_judge(started, capsys):
    with serve(oracle) as served:
        assert run(started, served.url) == 0
        (started.parent / "question.txt").write_text(QUESTION + "\nWell?", "utf-8")
        assert run(started, served.url, stage="pair") == 2
    assert "question" in capsys.readouterr().err


def test_settings_that_nothing_can_be_asked_with_are_found_first(started, capsys):
    assert run(started, "nowhere", "--dry_run", stage="run") == 2
    assert "judge.green.endpoint.url='nowhere'" in capsys.readouterr().err
