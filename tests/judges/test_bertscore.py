"""BERTScore: by hand where words have known vectors, against torch and bert-score elsewhere."""

import functools
import math

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from chexjax.judges import BertScoreConfig, JudgeSettings, build, identity
from chexjax.judges import encoding as encoding_module
from tests.judges.encoders import word_encoder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return str(word_encoder(tmp_path_factory.mktemp("encoder") / "words"))


@functools.cache
def made(folder, name, config):
    settings = BertScoreConfig(encoder=folder, layer=1, **dict(config))
    return build(name, JudgeSettings(bertscore=settings))


def scored(folder, references, candidates, name="bertscore", **config):
    judge = made(folder, name, tuple(config.items()))
    found = judge.judge(references, candidates)
    return [(*(one.details[k] for k in ("precision", "recall", "f1")), one.score) for one in found]


def f1(precision, recall):
    return 2 * precision * recall / (precision + recall)


def test_precision_recall_and_f1_are_those_of_the_best_matches(words):
    """Each word's cosine is 1 with itself, 0.6 between bright and clear, 0 between all others."""
    [found] = scored(words, ["heart clear"], ["lungs heart bright"])
    precision, recall = (0 + 1 + 0.6) / 3, (1 + 0.6) / 2
    expected = (precision, recall, f1(precision, recall))
    assert found == pytest.approx((*expected, expected[-1]), abs=1e-6)


def test_special_tokens_weigh_nothing_and_an_empty_candidate_has_nothing(words):
    equal, empty, blank = scored(words, ["heart"] * 3, ["heart", "", " \n"])
    assert equal == pytest.approx((1, 1, 1, 1))
    assert empty == blank == (0, 0, 0, 0)


def test_idf_weighs_words_by_their_rarity_in_the_references(words):
    references = ["heart clear", "heart lungs", "heart"]
    found = scored(words, references, ["clear heart", "lungs bright", "heart"], idf=True)
    seen, unseen = math.log(4 / 2), math.log(4)  # in one of three references, in none
    assert found[0] == pytest.approx((1, 1, 1, 1), abs=1e-6)
    # Lungs match; bright, in no reference, matches nothing of "heart lungs".
    precision = seen / (seen + unseen)
    assert found[1] == pytest.approx((precision, 1, *[f1(precision, 1)] * 2), abs=1e-6)
    # What stands in all references weighs nothing, and a report of that alone has no score.
    assert found[2] == (0, 0, 0, 0)


def test_idf_of_one_reference_is_refused_and_a_corpus_makes_scores_independent(words, tmp_path):
    with pytest.raises(ValueError, match=r"idf=True needs two different references"):
        scored(words, ["heart clear"] * 2, ["heart", "clear"], idf=True)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("heart clear\n\nheart lungs\nheart\n", "utf-8")
    references, candidates = ["heart clear", "lungs clear"], ["heart lungs", "clear bright"]
    together = scored(words, references, candidates, idf=True, corpus=str(corpus))
    for k, alone in enumerate(together):
        found = scored(words, [references[k]], [candidates[k]], idf=True, corpus=str(corpus))
        assert found == [alone]


def test_rescaling_maps_the_baseline_to_zero_and_one_to_one(words, tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text("LAYER,P,R,F\n0,0.1,0.1,0.1\n1,0.5,0.4,0.2\n", "utf-8")
    pairs = (["heart clear"] * 3, ["heart clear", "lungs heart", ""])
    found = scored(words, *pairs, baseline=str(table))
    assert found[0] == pytest.approx((1, 1, 1, 1), abs=1e-6)
    assert found[1] == pytest.approx((0, 0.1 / 0.6, 0.3 / 0.8, 0.3 / 0.8), abs=1e-6)
    assert found[2] == pytest.approx((-1, -0.4 / 0.6, -0.25, -0.25))


def test_length_control_divides_the_score_and_leaves_the_details(words):
    [found] = scored(words, ["heart clear"], ["heart clear " * 2], "lc_bertscore")
    assert found == pytest.approx((1, 1, 1, 0.5))


def test_published_baselines_are_those_of_the_facts():
    """An empty candidate has -2.00 with DistilBERT and -5.55 with DistilRoBERTa (RadEval)."""
    lowest = {}
    for name in ("distilbert-base-uncased", "distilroberta-base"):
        baseline = BertScoreConfig(rescale=name)._baseline()
        lowest[name] = -baseline[2] / (1 - baseline[2])
    assert list(lowest.values()) == pytest.approx([-2.00, -5.55], abs=0.005)


def test_equal_pairs_are_equal_and_order_and_company_do_not_matter(words):
    references = ["heart clear", "lungs", "heart lungs clear", "lungs"]
    candidates = ["clear", "heart lungs " * 3, "bright", "lungs clear"]
    found = scored(words, references, candidates)
    assert scored(words, references[::-1], candidates[::-1]) == found[::-1]
    for k, one in enumerate(found):
        assert scored(words, [references[k]], [candidates[k]]) == [one]


def test_each_text_goes_through_the_encoder_once(words, monkeypatch):
    read = []
    own = encoding_module.TextEncoder.hidden

    def counting(self, ids):
        read.extend(tuple(one) for one in ids)
        return own(self, ids)

    monkeypatch.setattr(encoding_module.TextEncoder, "hidden", counting)
    scored(words, ["heart", "heart", "lungs"], ["clear", "heart", "clear"])
    assert len(read) == len(set(read)) == 3


def test_a_text_longer_than_the_encoder_reads_is_cut_and_says_so(words):
    judge = BertScoreConfig(encoder=words, layer=1).build()
    long = "heart " * 20 + "lungs"  # 16 positions, of which two are special
    cut, whole = judge.judge(["lungs heart"] * 2, [long, "heart"])
    assert cut.details["cut"] is True and "cut" not in whole.details
    assert cut.details["precision"] == pytest.approx(1)
    assert cut.details["recall"] == pytest.approx(0.5)


def test_files_are_known_by_their_bytes(words, tmp_path):
    def found(folder):
        settings = JudgeSettings(bertscore=BertScoreConfig(encoder=folder, layer=1))
        return identity("bertscore", settings)

    other = word_encoder(tmp_path / "other")
    assert found(words) == found(str(other))
    text = (other / "tokenizer.json").read_text("utf-8")
    (other / "tokenizer.json").write_text(text.replace("heart", "Heart"), "utf-8")
    assert found(words) != found(str(other))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layer": 0}, "layer=0: layers are counted from 1"),
        ({"rescale": "distilbert-base-cased"}, "did you mean distilbert-base-uncased"),
        ({"rescale": "distilroberta-base", "layer": 6}, "the baseline of layer 5 is known"),
        ({"rescale": "distilroberta-base", "baseline": "x"}, "not both"),
        ({"corpus": "x"}, "set judge.bertscore.idf=True"),
        ({"encoder": ""}, "encoder='': set it"),
        ({"layer": 2}, "has 1 layers, not 2"),
        ({"baseline": "/nowhere"}, "baseline: /nowhere cannot be read"),
        ({"corpus": "/nowhere", "idf": True}, "corpus: /nowhere cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_found_before_any_weights_are_loaded(words, config, message):
    with pytest.raises(ValueError, match=message):
        BertScoreConfig(**{"encoder": words, "layer": 1, **config}).build()


# What bert-score 0.3.13 computes with these weights in float32: precision, recall and F1.
REFERENCES = [
    "No acute cardiopulmonary process.",
    "Heart size is normal. The lungs are clear.",
    "There is a small left pleural effusion with adjacent atelectasis.",
    "Mild cardiomegaly.",
]
CANDIDATES = [
    "No acute cardiopulmonary abnormality.",
    "The heart is mildly enlarged. Lungs are clear without effusion.",
    "",
    "Large right pneumothorax with mediastinal shift.",
]
PUBLISHED = {
    (False, 5): [
        [0.896847, 0.710196, 0.0, 0.462063],
        [0.917693, 0.847896, 0.0, 0.514545],
        [0.907150, 0.772961, 0.0, 0.486894],
    ],
    (True, 5): [
        [0.832637, 0.642598, 0.0, 0.423495],
        [0.908529, 0.825336, 0.0, 0.468571],
        [0.868929, 0.722593, 0.0, 0.444894],
    ],
}


@pytest.fixture(scope="module")
def minilm(real_models):
    return str(real_models / "all-minilm-l6-v2-fp16")


@pytest.mark.parametrize(("idf", "layer"), PUBLISHED)
def test_trained_weights_score_as_bert_score_does(minilm, idf, layer):
    judge = BertScoreConfig(encoder=minilm, layer=layer, idf=idf).build()
    found = judge.judge(REFERENCES, CANDIDATES)
    columns = [[one.details[k] for one in found] for k in ("precision", "recall", "f1")]
    np.testing.assert_allclose(columns, PUBLISHED[idf, layer], atol=1e-5)


def test_trained_weights_score_as_torch_does(minilm):
    """Pair by pair, unpadded, with reports that need other widths and one that is cut."""
    torch = pytest.importorskip("torch", reason="numerical parity needs torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(minilm, dtype=torch.float32).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(minilm)
    sentence = "Heart size is normal and lungs are clear of focal airspace disease or effusion. "
    references = [sentence, REFERENCES[2], sentence * 60]
    candidates = [CANDIDATES[1], sentence[:40], sentence * 59]

    def states(text):
        ids = tokenizer(text.strip(), truncation=True, max_length=512)["input_ids"]
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[5][0]
        return (hidden / hidden.norm(dim=-1, keepdim=True)).numpy()

    found = BertScoreConfig(encoder=minilm).build().judge(references, candidates)
    for reference, candidate, one in zip(references, candidates, found, strict=True):
        cosines = states(candidate) @ states(reference).T
        precision, recall = cosines.max(1)[1:-1].mean(), cosines.max(0)[1:-1].mean()
        expected = {"precision": precision, "recall": recall, "f1": f1(precision, recall)}
        for name, value in expected.items():
            assert one.details[name] == pytest.approx(value, abs=1e-5)
    assert [one.details.get("cut", False) for one in found] == [False, False, True]


def test_a_robertas_first_word_is_read_like_any_other(tmp_path):
    folder = word_encoder(tmp_path / "encoder")
    config = (folder / "config.json").read_text("utf-8")
    (folder / "config.json").write_text(config.replace('"bert"', '"roberta"'), "utf-8")
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "heart": 1, "\u0120heart": 2}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert encoding_module.TextEncoder(folder, 1).ids(["heart heart", " heart\n"]) == [[2, 2], [2]]
