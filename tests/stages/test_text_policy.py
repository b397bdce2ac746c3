"""A policy that sees nothing writes impressions from findings, through the whole method."""

import json

import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.stages.config import NEIGHBOUR
from tests.stages.conftest import CONFIG

ORGANS = ("heart", "left lung", "right lung", "mediastinum", "spine", "diaphragm")
STATES = ("is large", "is normal", "is clear", "is hazy")
SAYS = {
    "is large": "Enlargement.",
    "is normal": "Normal.",
    "is clear": "No finding.",
    "is hazy": "",
}


def studies():
    """All 24 pairs of organ and state to learn from, four to test with, and some that cannot be."""
    for organ in ORGANS:
        for state in STATES:
            yield f"{organ} {state}", "train", f"The {organ} {state}.", f"{SAYS[state]} {organ}."
    yield "copied", "test", "The spine is clear.", "No finding. spine."
    yield "copied too", "test", "The heart is large.", "Enlargement. heart."
    yield "new", "test", "Today the left lung is hazy, I think.", "Opacity."
    yield "other", "test", "The heart and the spine.", "Nothing."
    yield "between", "validate", "The lungs.", "Lungs."
    yield "silent", "test", "The heart is large.", ""
    yield "unseen", "train", "", "Normal."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("text")
    rows = [
        {"id": name, "split": split, "findings": findings, "impression": impression}
        for name, split, findings, impression in studies()
    ]
    table = workdir / "reports.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = [CONFIG, f"--workdir={workdir}", "--config.policy.preset=smollm2_nano"]
    flags += ["--source=table", f"--path={table}", "--config.source.views.most=0"]
    flags += ["--config.source.text.report=impression", "--config.align.freeze=()"]
    flags += [f"--config.evaluate.systems={(NEIGHBOUR, 'SFT', 'aligned')}"]
    flags += ["--config.evaluate.analysis.slices.smallest=2"]
    return workdir, flags


def test_dry_run_says_that_it_sees_nothing(run, capsys):
    _, flags = run
    assert main(["run", *flags, "--dry_run"]) == 0
    assert "text alone" in capsys.readouterr().out


def test_the_whole_method_runs_on_text(run, capsys):
    workdir, flags = run
    assert main(["run", *flags]) == 0, capsys.readouterr().err
    rejects = [json.loads(line) for line in (workdir / "studies" / "rejects.jsonl").open()]
    assert {one["id"]: one["reason"] for one in rejects} == {
        "silent": "it has no impression",
        "unseen": "it has no findings",
    }
    kept = {row["id"]: row for row in load(workdir / "studies", "studies").rows()}
    assert kept["new"]["findings"] == "Opacity."  # what is to be written
    assert kept["new"]["indication"] == "Today the left lung is hazy, I think."  # what is asked
    assert (workdir / "aligned" / "params").is_dir()
    assert not (workdir / "predictions" / "sft_shuffled").exists()


def test_the_nearest_neighbour_is_copied(run):
    workdir, _ = run
    rows = load(workdir / "predictions" / "neighbour", "predictions").rows()
    copied = {row["id"]: row["candidates"][0]["report"] for row in rows}
    assert copied["copied"] == "No finding. spine."
    assert copied["new"] == "left lung."


def test_studies_whose_prompt_was_trained_on_are_a_slice(run):
    workdir, _ = run
    page = (workdir / "report" / "report.html").read_text()
    assert "Prompt in training" in page


def test_a_sweep_holds_the_neighbour_and_fresh_prompts_against_each_other(run, capsys):
    workdir, flags = run
    axes = {"loss": ["ipo: loss.name=ipo"]}
    claims = [
        f"it copies: of=SFT minus={NEIGHBOUR} measure=fresh_words expect=same margin=100",
        f"all of it: of=SFT minus={NEIGHBOUR} measure=words expect=same margin=100",
    ]
    asked = [f"--config.sweep.axes={axes}", f"--config.sweep.claims={claims}"]
    asked += ["--config.sweep.measures=('fresh_rouge_l',)"]
    assert main(["run", *flags, *asked]) == 0, capsys.readouterr().err
    found = json.loads((workdir / "comparison" / "comparison.json").read_text())
    fresh, every = found["claims"]
    assert (fresh["studies"], every["studies"]) == ([2], [4])  # without the two that are copied
    # `new` and `other` have `left lung.` and `The heart is large.` nearest to them.
    assert fresh["minus"] == 2 and every["minus"] == (2 * 2 + 3 + 2) / 4
    assert found["levels"]["policies"][NEIGHBOUR]["fresh_rouge_l"]["low"] >= 0


def test_the_neighbour_is_asked_for_nothing_but_its_reports(run, capsys):
    _, flags = run
    claim = f"it is: of=SFT minus={NEIGHBOUR} measure=logp_gap expect=more margin=1"
    axes = {"loss": ["ipo: loss.name=ipo"]}
    asked = [f"--config.sweep.axes={axes}", f"--config.sweep.claims={[claim]}"]
    assert main(["run", *flags, *asked]) == 2
    assert f"{NEIGHBOUR} gives no text a likelihood" in capsys.readouterr().err


def test_visual_tokens_cannot_be_cached(run, capsys):
    _, flags = run
    assert main(["run", *flags, "--config.visual.cache=True"]) == 2
    assert "smollm2_nano is shown no images" in capsys.readouterr().err
