import pytest

from chexjax.judges import BertScoreConfig
from chexjax.stages.align import ALIGN
from chexjax.stages.config import (
    EvaluateConfig,
    JudgeConfig,
    LossConfig,
    ReferenceConfig,
    RunConfig,
)
from chexjax.stages.evaluate import EVALUATE, OWN
from chexjax.stages.reference import REFERENCE
from chexjax.train import Reference


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay": 0.9}, r"reference\.decay=0\.9 moves the reference, which mode='cached'"),
        ({"every": 8}, r"reference\.every=8 moves the reference, which mode='cached'"),
        ({"mode": "fixed", "every": 8}, "set mode='synchronised'"),
        ({"mode": "averaged"}, r"mode='averaged' needs reference\.decay"),
        ({"mode": "averaged", "decay": 1.0}, r"decay=1\.0 is not from 0 to below 1"),
        ({"mode": "synchronised", "every": 0}, "every=0 must be at least 1"),
    ],
)
def test_a_cache_does_not_move_and_what_moves_says_how(given, message):
    with pytest.raises(ValueError, match=message):
        ReferenceConfig(**given)


def test_a_reference_in_the_step_is_part_of_the_policy_and_needs_no_cache():
    moving = RunConfig(reference=ReferenceConfig(mode="averaged", decay=0.99))
    assert moving.reference.in_step() == Reference(decay=0.99)
    assert not REFERENCE.needed(moving) and REFERENCE.needed(RunConfig())
    assert not REFERENCE.needed(RunConfig(loss=LossConfig(name="orpo")))
    assert ALIGN.content(moving)["reference"]["decay"] == 0.99
    assert "reference" not in ALIGN.content(RunConfig())


def test_idf_of_candidates_counts_in_a_file_since_units_would_count_each_its_own():
    score = BertScoreConfig(idf=True)
    assert JudgeConfig(name="rouge_l", bertscore=score).bertscore.idf
    assert JudgeConfig(name="bertscore", bertscore=BertScoreConfig(idf=True, corpus="x"))
    with pytest.raises(ValueError, match=r"give bertscore\.corpus"):
        JudgeConfig(name="lc_bertscore", bertscore=score)


def test_a_metric_has_one_column_and_predictions_do_not_know_it():
    with pytest.raises(ValueError, match="one stands there twice"):
        EvaluateConfig(metrics=("bleu", "bleu"))
    with pytest.raises(ValueError, match="divergence=0 must be 1 or more"):
        EvaluateConfig(divergence=0)
    more = RunConfig(evaluate=EvaluateConfig(metrics=("rouge_1",)))
    assert EVALUATE.content(more) != EVALUATE.content(RunConfig())
    assert OWN["aligned"].content(more) == OWN["aligned"].content(RunConfig())
