"""Runs of a sweep: what they share, what they are, and which is selected."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from chexjax.__main__ import main
from chexjax.config import ConfigError
from chexjax.evaluate.comparison import measured, selected
from chexjax.evaluate.studies.divergence import NONE
from chexjax.judges import build
from chexjax.stages.align import ALIGN
from chexjax.stages.config import RunConfig, SweepConfig
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.reference import REFERENCE
from chexjax.stages.sample import SAMPLE
from chexjax.stages.sweep import runs
from tests.stages.conftest import ROOT

CONFIG = Path(__file__).parents[2] / "configs" / "sweep.py"
LOSSES = ("dpo-0.1: loss.name=dpo loss.options.beta=0.1", "orpo: loss.name=orpo")


def swept(**axes):
    return RunConfig(sweep=SweepConfig(axes=axes))


def test_runs_that_differ_in_their_loss_share_all_but_the_policy():
    first, second = runs(swept(loss=LOSSES))
    assert [first.name, second.name] == ["dpo-0.1", "orpo"]
    assert first.config.loss.build().beta == 0.1
    assert second.config.loss.name == "orpo" and not second.config.sweep.axes
    for stage in (INGEST, SAMPLE, PAIR, REFERENCE):
        assert first.folder(stage) == second.folder(stage) == stage.folder
    assert [run.folder(ALIGN) for run in (first, second)] == ["dpo-0.1/aligned", "orpo/aligned"]
    assert REFERENCE.needed(first.config) and not REFERENCE.needed(second.config)


def test_each_axis_parts_what_it_decides_and_what_follows():
    """Candidates once a model, pairs and reference once a model and judge."""
    models = ("a: policy.preset=chexagent2_nano", "b: policy.preset=chexagent_nano")
    judges = ("rouge: judge.name=rouge_l", "lc: judge.name=lc_rouge_l")
    found = runs(swept(model=models, judge=judges, loss=LOSSES))
    assert len(found) == 8
    last = found[-1]
    assert last.name == "b/lc/orpo"
    folders = [last.folder(stage) for stage in (INGEST, SAMPLE, PAIR, REFERENCE, ALIGN)]
    assert folders == [
        "studies",
        "b/candidates",
        "b/lc/pairs",
        "b/lc/reference",
        "b/lc/orpo/aligned",
    ]
    assert len({run.folder(PAIR) for run in found}) == 4


def test_a_new_point_moves_nothing():
    before, after = runs(swept(loss=LOSSES)), runs(swept(loss=(*LOSSES, "ipo: loss.name=ipo")))
    for run in before:
        [same] = [other for other in after if other.name == run.name]
        assert same.config == run.config
        assert all(same.folder(s) == run.folder(s) for s in (INGEST, PAIR, REFERENCE, ALIGN))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (("dpo loss.name=dpo",), "is not of the form 'NAME: FIELD=VALUE FIELD=VALUE'"),
        (("dpo:",), "is not of the form"),
        (("a/b: loss.name=dpo",), "is not of the form"),
        (("a: loss.name=dpo", "a: loss.name=ipo"), "there are two points 'a'"),
        ((), "axes.loss has no point"),
        (("a: los.name=dpo",), r"point 'a': unknown field config\.los; did you mean loss\?"),
        (("a: align.batch_size=many",), "point 'a': .*'many' is not int"),
    ],
)
def test_a_point_that_cannot_be_read_is_named(points, message):
    with pytest.raises(ConfigError, match=message):
        runs(swept(loss=points))


def test_length_control_can_select_another_run():
    reference = ["the heart is large", "no effusion"]
    short, long = (
        ["the heart is", "no effusion"],
        ["the heart is large and large again now", "no effusion"],
    )

    def entry(name, reports, by):
        judged = (name, build("rouge_l"), reference, reports)
        found = measured(*judged, divergence=NONE, selection=0.0, seed=0)
        return dataclasses.replace(found, selection=getattr(found, by).mean)

    # ROUGE-L by hand: 6 / 7 and 1; of the long one 2 / 3 and 1, and twice as long: 1 / 3.
    entries = [entry("short", short, "controlled"), entry("long", long, "controlled")]
    assert entries[0].score.mean == pytest.approx((6 / 7 + 1) / 2)
    assert entries[1].score.mean == pytest.approx((2 / 3 + 1) / 2)
    assert entries[1].controlled.mean == pytest.approx((1 / 3 + 1) / 2)
    assert entries[1].length.mean == pytest.approx(1.5)
    liked = dataclasses.replace(entries[1], selection=0.95)  # as a judge that likes words would
    assert selected(entries).name == "short"
    assert selected([entries[0], liked]).name == "long"
    assert selected([dataclasses.replace(entries[0], selection=None)]) is None
    unscored = dataclasses.replace(entries[0], name="unscored", selection=float("nan"))
    assert selected([unscored, entries[0], liked]).name == "long"  # wherever it stands
    assert selected([entries[0], unscored]).name == entries[0].name
    assert selected([unscored]) is None


def test_what_a_run_pays_in_words_stands_beside_its_score():
    references = ["the heart is large", "no effusion"]
    given = {"divergence": NONE, "selection": None, "seed": 0}
    told = ["the heart is", "no effusion"]
    sft = measured("SFT", build("rouge_l"), references, told, **given)
    told = ["the heart is large the heart is large", "no effusion"]
    run = measured("run", build("rouge_l"), references, told, sft=sft, **given)
    assert (sft.to_sft, sft.drop.mean, sft.repeated.mean) == (
        1.0,
        0.0,
        pytest.approx(float("nan"), nan_ok=True),
    )
    assert run.to_sft == pytest.approx(10 / 5) and run.words.mean == 5
    # ROUGE-L 2 / 3 and 1, controlled 1 / 3 and 1: of 5 / 3 are 4 / 3 left.
    assert run.drop.mean == pytest.approx(1 / 5)
    assert run.repeated.mean == pytest.approx(1 / 5)


def test_a_sweep_from_end_to_end(tmp_path, capsys):
    """Rate 0 at one point: its policy is SFT, so it diverges by nothing but rounding."""
    still = "still: loss.name=dpo align.optimizer.learning_rate=1e-30"
    arguments = [f"--config={CONFIG}:small", f"--workdir={tmp_path}"]
    arguments.append(f"--config.sweep.axes.loss=({LOSSES[1]!r},{still!r})")
    assert main(["run", *arguments]) == 0
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    rows = {row["name"]: row for row in found["runs"]}
    assert list(rows) == ["SFT", "orpo", "still"]
    assert abs(rows["still"]["divergence"]["mean"]) < 1e-3
    assert rows["still"]["score"] == rows["SFT"]["score"]
    assert sum(row["selected"] for row in rows.values()) == 1
    shutil.rmtree(tmp_path / "orpo")
    capsys.readouterr()
    assert main(["run", *arguments]) == 0
    written = capsys.readouterr().out
    assert f"{tmp_path / 'still' / 'aligned'} is finished, nothing to do" in written
    assert f"{tmp_path / 'sft'} is finished, nothing to do" in written
    assert not (tmp_path / "orpo" / "reference").exists()


def test_a_sweep_is_a_run_and_says_what_it_shares(tmp_path, capsys):
    arguments = [f"--config={CONFIG}:small", f"--workdir={tmp_path}"]
    assert main(["align", *arguments]) != 0
    assert "which 'align' does not take" in capsys.readouterr().err
    assert main(["run", *arguments, "--config.source.phantom.validate=0"]) != 0
    assert "selects a run on the validation split" in capsys.readouterr().err
    assert main(["run", *arguments, "--dry_run"]) == 0
    lines = capsys.readouterr().out
    assert "dpo-0.5/aligned" in lines and "reference" in lines
    assert not list(tmp_path.iterdir())


def test_a_judge_that_cannot_select_is_found_before_anything_is_trained(tmp_path, capsys):
    sweep = f"--config={ROOT / 'configs' / 'sweep.py'}:small"
    for judge, said in (("lc_rogue_l", "no judge 'rogue_l'"), ("lc_green", "green.endpoint.url")):
        flags = (f"--workdir={tmp_path}", f"--config.sweep.select_by={judge}", "--dry_run")
        question = tmp_path / "question.txt"
        question.write_text("{reference} {candidate}", "utf-8")
        green = "--config.judge.green"
        asked = (f"{green}.question={question}", f"{green}.endpoint.model=nobody's")
        assert main(["run", sweep, *flags, *asked]) == 2
        assert said in capsys.readouterr().err
