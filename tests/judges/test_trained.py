"""The judge that is shipped."""

import math

import pytest

from chexjax.judges import PhantomOracle, build, parse_judgement
from chexjax.judges.examination import examine
from chexjax.judges.lessons import PhantomLessons
from chexjax.judges.trained import TrainedJudge, shipped, write_answers
from chexjax.mesh import MeshConfig, make_mesh


@pytest.fixture(scope="module")
def judge():
    return TrainedJudge.load(shipped(), make_mesh(MeshConfig()))


def test_it_is_small_and_complete():
    files = {file.name: file.stat().st_size for file in shipped().iterdir()}
    assert sum(files.values()) <= 5_000_000
    assert {"README.md", "config.json", "judge.json", "question.txt", "tokenizer.json"} < set(files)


def test_it_judges_sentences_that_it_never_read_as_the_oracle_does(judge):
    lessons = [PhantomLessons(123_456, examined=True)[k] for k in range(32)]
    pairs = [(one.reference, c) for one in lessons for c in one.candidates]
    references, candidates = zip(*pairs, strict=True)
    verdicts = [parse_judgement(text) for text in write_answers(judge, pairs)]
    found = examine(references, candidates, PhantomOracle().judge(references, candidates), verdicts)
    assert found["well_formed"] >= 0.95
    assert found["tau"] >= 0.78  # 0.83 on 1,024 pairs, see the model card
    assert found["tau"] > max(found["tau_rouge_l"], found["tau_length"]) + 0.2


def test_any_candidate_gets_a_judgement():
    """Or none, where what is written about it cannot be read; never another one's."""
    odd = ["", "\x00\ufffd", "no no no", "left " * 400, "[Matched Findings]:\n9."]
    judged = build("green").judge(["Small left effusion."] * len(odd), odd)
    assert judged[0].score == 0 and judged[0].details["significant"]["b"] == 1
    for one in judged:
        assert math.isfinite(one.score) == one.details["well_formed"]
    assert sum(one.details["well_formed"] for one in judged) >= 4


def test_answers_stand_in_the_order_of_the_pairs(judge):
    pairs = [("Small left effusion. Severe cardiomegaly.", text) for text in ("", "Mild edema.")]
    both = write_answers(judge, pairs)
    assert both[::-1] == write_answers(judge, pairs[::-1])
    assert both[0] != both[1]


def test_a_folder_that_is_no_judge_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not name a judge's preset"):
        TrainedJudge.load(tmp_path, make_mesh(MeshConfig()))
