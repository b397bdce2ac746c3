"""RadGraph's network computes what an independent DyGIE++ in torch does, from its archive."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="numerical parity needs torch: pip install .[parity]")

from chexjax.judges import JudgeSettings, build  # noqa: E402
from chexjax.judges.graph import LEVELS  # noqa: E402
from chexjax.judges.radgraph import RadGraphConfig, extractor_of  # noqa: E402
from chexjax.judges.words import SPLITS  # noqa: E402
from chexjax.testing import assert_close  # noqa: E402
from tests.parity import dygie  # noqa: E402

REPORTS = (
    "The lungs are clear. No effusion.",
    "Mild cardiomegaly (small), left base opacity: may be edema/effusion.",
    "Clear",
    "Tube 2 cm above the heart. \u0007 Small right effusion without edema.",  # a word of no piece
    "No pneumothorax. " * 9 + "Mild edema.",  # two segments
    "The heart size is normal, the lungs are clear, no pneumothorax is seen. " * 4,  # four
)


@pytest.fixture(scope="module")
def theirs(randomised):
    return randomised(dygie.DyGIE())


@pytest.fixture(scope="module")
def config(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("radgraph")
    dygie.write_archive(folder / "model.tar.gz", theirs)
    dygie.write_encoder(folder / "encoder")
    return RadGraphConfig(archive=str(folder / "model.tar.gz"), encoder=str(folder / "encoder"))


@pytest.fixture(scope="module")
def extractor(config):
    return extractor_of(config)


def run(theirs, extractor, report):
    """Words, spans, scores, kept spans and scores of pairs, by torch."""
    tokenizer = extractor._tokenizer
    words = SPLITS["radgraph"](report)
    pieces = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    with torch.no_grad():
        return words, *theirs(pieces, tokenizer.cls_token_id, tokenizer.sep_token_id)


def test_scores_are_those_of_torch(theirs, extractor):
    """Of reports of one segment and of several, alone and beside others."""
    for batch in (REPORTS[:4], REPORTS[4:5], REPORTS[5:]):
        texts = [extractor._text(report) for report in batch]
        shape = max(extractor._shape(text) for text in texts)
        scores = extractor._scored(texts, len(batch) + 1, shape)
        for row, report in enumerate(batch):
            words, spans, entities, kept, pairs = run(theirs, extractor, report)
            ours = [a * dygie.LONGEST + b - a for a, b in spans]
            assert_close(scores.entities[row, ours], entities.numpy(), rtol=0, atol=1e-4)
            found = scores.kept[row, : len(kept)]
            assert found.tolist() == [ours[k] for k in kept]
            assert (scores.kept[row, len(kept) :] == scores.entities.shape[1]).all()
            there = np.ix_(range(len(kept)), range(len(kept)))
            assert_close(scores.relations[row][there], pairs.numpy(), rtol=0, atol=1e-4)


def test_graphs_are_those_of_torch(theirs, extractor):
    found = extractor([*REPORTS, ""])
    assert not found.pop().graph
    related = 0
    for report, one in zip(REPORTS, found, strict=True):
        expected = dygie.graph(*run(theirs, extractor, report))
        assert one.graph == expected and not one.left_out
        related += sum(len(entity.relations) for entity in expected)
    assert related > 20  # random weights do find some


def test_a_report_too_long_to_be_read_is_cut_and_says_so(extractor):
    [one] = extractor(["normal heart " * 5000])
    assert one.left_out == 10_000 - 4 * (dygie.SEGMENT - 2)
    assert max(entity.end for entity in one.graph) < 4 * (dygie.SEGMENT - 2)


@pytest.mark.parametrize("level", LEVELS)
def test_the_judges_of_all_levels_score_the_graphs(level, theirs, extractor, config):
    judge = build(f"radgraph_{level}", JudgeSettings(radgraph=config))
    assert level in judge.name
    references, candidates = list(REPORTS[:4]), [REPORTS[1], REPORTS[1], "", REPORTS[0]]
    graphs = {
        report: dygie.graph(*run(theirs, extractor, report))
        for report in {*references, *candidates} - {""}
    }
    graphs[""] = ()
    found = judge.judge(references, candidates)
    for one, reference, candidate in zip(found, references, candidates, strict=True):
        expected = LEVELS[level](graphs[reference], graphs[candidate])
        assert one.score == one.details[level] == expected
    controlled = build(f"lc_radgraph_{level}", JudgeSettings(radgraph=config))
    [shorter] = controlled.judge([REPORTS[0]], [REPORTS[0] + " " + REPORTS[0]])
    assert shorter.score == pytest.approx(shorter.details["uncontrolled"] / 2)
