"""Runs of a sweep: what they share, what they are, and which is selected."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from chexjax.__main__ import main
from chexjax.artefacts import load
from chexjax.config import ConfigError
from chexjax.evaluate.comparison import measured, selected
from chexjax.evaluate.studies.divergence import NONE
from chexjax.judges import build
from chexjax.rows import Rows
from chexjax.stages.align import ALIGN
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.ingest import INGEST
from chexjax.stages.pair import PAIR
from chexjax.stages.reference import REFERENCE
from chexjax.stages.sample import SAMPLE
from chexjax.stages.sweeps.compare import prepare
from chexjax.stages.sweeps.config import SweepConfig
from chexjax.stages.sweeps.runs import runs
from chexjax.trackers import StageClock
from tests.stages.conftest import ROOT

CONFIG = ROOT / "configs" / "sweep.py"
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


def test_points_of_one_axis_part_what_each_decides_itself():
    """So that a study can set its points by hand, and what they do not set is made once."""
    points = ("dpo: loss.name=dpo", "rouge: judge.name=rouge_l", "noisy: source.phantom.noise=0.5")
    found = runs(swept(seed=("a: seed=0", "b: seed=1"), point=points))
    assert [run.name for run in found[:2]] == ["a/dpo", "a/rouge"]
    folders = {run.name: [run.folder(s) for s in (INGEST, SAMPLE, PAIR, ALIGN)] for run in found}
    assert folders["b/dpo"] == ["studies", "b/candidates", "b/pairs", "b/dpo/aligned"]
    assert folders["b/rouge"] == ["studies", "b/candidates", "b/rouge/pairs", "b/rouge/aligned"]
    assert folders["b/noisy"][:2] == ["noisy/studies", "b/noisy/candidates"]
    assert [run.beside("seed") for run in found] == 2 * ["dpo", "rouge", "noisy"]
    assert [run.beside("seed") for run in runs(swept(seed=("a: seed=0",)))] == ["aligned"]


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


def test_names_that_could_mean_two_things_are_refused():
    with pytest.raises(ConfigError, match="'one' and 'two' both have a point 'a'"):
        runs(swept(one=("a: seed=0",), two=("a: loss.name=ipo",)))
    sweep = SweepConfig(axes={"seed": ("a: seed=0",)}, repeat="seeds")
    with pytest.raises(ConfigError, match="repeat='seeds' is no axis; did you mean seed"):
        runs(RunConfig(sweep=sweep))


CLAIM = "Good: of=orpo minus=SFT measure=words expect=more margin=1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("=orpo", "=orpho"), "'Good': no policy 'orpho'; did you mean orpo?"),
        (("=orpo", "=SFT"), "of=SFT and minus=SFT are the same policy; say whose SFT is meant"),
        (("words", "wordes"), "'Good': no measure 'wordes'; did you mean words?"),
        (("words", "elsewhere_green_1"), "no measure 'elsewhere_green_1'"),
        (("words", "elsewhere_words"), "there is no other source; set config.sweep.elsewhere"),
        (("words", "accuracy"), "no questions are asked; set config.chexbench.questions"),
        (("words", "tau"), "no candidates are ranked for it; name an aligned policy"),
        (("SFT", "SFT@8"), "a step on the way has written no reports"),
        (("SFT measure=words", "SFT@8 measure=logp_gap"), "keep_every=0 keeps no step 8"),
    ],
)
def test_a_claim_that_cannot_be_measured_is_named_before_anything_is_made(
    change, message, tmp_path
):
    sweep = SweepConfig(axes={"loss": LOSSES}, claims=(CLAIM.replace(*change),))
    context = Context(RunConfig(sweep=sweep), tmp_path, StageClock(tmp_path, keep=False))
    with pytest.raises(ConfigError, match="config.sweep.claims") as error:
        prepare(context)
    assert message in str(error.value)


@pytest.mark.parametrize("select", [True, False])
def test_validation_reports_are_written_where_a_run_is_selected_by_them(select, tmp_path):
    sweep = SweepConfig(axes={"loss": LOSSES}, select=select)
    context = Context(RunConfig(sweep=sweep), tmp_path, StageClock(tmp_path, keep=False))
    folders = [stage.folder for stage in prepare(context).last]
    assert ("predictions/aligned_validate" in folders) is select
    assert "predictions/aligned" in folders and "divergence/aligned" in folders


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


STUDY = CONFIG.with_name("study_phantom.py")
STILL = "judge.noise=0.2 loss.name=dpo align.optimizer.learning_rate=1e-30"
MEASURES = ("score", "words", "tau")


def scores(folder):
    rows = Rows(sorted(folder.glob("*.arrayrecord")))
    return [one for row in rows for one in row["judgements"]]


def test_a_study_from_end_to_end(tmp_path, capsys):
    """Rate 0 at one point: its policy is SFT, so it differs by nothing but rounding."""
    points = ("dpo: loss.name=dpo loss.options.beta=0.5", f"noise_0.2: {STILL}")
    arguments = [f"--config={STUDY}:small,seeds=1", f"--workdir={tmp_path}"]
    arguments += [f"--config.sweep.axes.run={points!r}", f"--config.sweep.measures={MEASURES!r}"]
    arguments += ["--config.evaluate.divergence=5", "--config.sweep.select=True"]
    assert main(["run", *arguments]) == 0
    [divergence] = tmp_path.glob("dpo/seed0/divergence/aligned")
    assert load(divergence, "divergence").manifest.rows == 5
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    rows = {row["name"]: row for row in found["runs"]}
    assert list(rows) == ["seed0/SFT", "dpo/seed0", "noise_0.2/seed0"]
    assert abs(rows["noise_0.2/seed0"]["divergence"]["mean"]) < 1e-3
    assert rows["noise_0.2/seed0"]["score"] == rows["seed0/SFT"]["score"]
    assert sum(row["selected"] for row in rows.values()) == 1

    answers = {one["claim"]["name"]: one for one in found["claims"]}
    assert len(answers) == 12
    gain, no_gain = (
        answers[name]
        for name in ("DPO scores higher than SFT", "DPO gains by a judge with little noise")
    )
    before, after = (rows[name]["score"]["mean"] for name in ("seed0/SFT", "dpo/seed0"))
    assert gain["each"] == pytest.approx([after - before])
    assert gain["spread"] == "bootstrap over 16 studies of one run"
    assert (no_gain["each"], no_gain["verdict"]) == ([0.0], "not seen")
    learnt = answers["SFT makes wrong reports likelier"]
    assert learnt["verdict"] == "seen" and learnt["of"] > learnt["minus"]
    assert 0 <= answers["DPO costs no accuracy"]["of"] <= 1
    assert answers["DPO's gain holds on other people"]["studies"] == [8]
    policies = found["levels"]["policies"]
    assert list(policies) == ["SFT", "dpo", "noise_0.2"]
    assert policies["dpo"]["tau"]["mean"] == 1.0 > policies["noise_0.2"]["tau"]["mean"]
    assert policies["SFT"]["tau"]["mean"] is None

    noisy, right = (scores(tmp_path / one / "scores") for one in ("noise_0.2/seed0", "seed0"))
    assert [one["details"]["undisturbed"] for one in noisy] == [one["score"] for one in right]
    added = [a["score"] - b["score"] for a, b in zip(noisy, right, strict=True)]
    assert np.std(added) == pytest.approx(0.2, rel=0.25) and len(set(added)) == len(added) == 96

    shutil.rmtree(tmp_path / "dpo" / "seed0" / "predictions")
    capsys.readouterr()
    assert main(["run", *arguments]) == 0
    written = capsys.readouterr().out
    kept = ("noise_0.2/seed0/aligned", "seed0/sft", "elsewhere/studies", "seed0/likelihood/sft@4")
    for made in kept:
        assert f"{tmp_path / made} is finished, nothing to do" in written
    assert not (tmp_path / "dpo" / "seed0" / "reference").exists()
    assert "<svg" in (tmp_path / "comparison" / "claims.svg").read_text("utf-8")
    table = (tmp_path / "comparison" / "claims.md").read_text("utf-8")
    assert "12 claims: " in table and "| DPO scores higher than SFT | " in table


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
