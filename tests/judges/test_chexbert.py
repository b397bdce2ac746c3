"""CheXbert from a checkpoint in the published layout, against a BERT of torch with heads on it."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.families import EncoderFamily, bert
from chexjax.judges import JudgeSettings, build, chexbert
from chexjax.judges.chexbert import CheXbert, CheXbertConfig
from chexjax.judges.encoding import padded
from chexjax.testing import assert_close

CLASSES = (4,) * 13 + (2,)
POSITIONS = 24
WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] no effusion edema lungs are clear the heart is large ##r . ,"
)
VOCABULARY = len(WORDS.split())

FAMILY = EncoderFamily(
    name="x",
    encoder=bert.encoder(
        layers=2,
        width=32,
        heads=4,
        vocabulary=VOCABULARY,
        positions=POSITIONS,
        classes=CLASSES,
    ),
    sharding=bert.SHARDING,
    names=bert.bert_names("module.bert.", width=32, heads=14, head="module.linear_heads."),
)

REPORTS = (
    "No effusion, no edema.",
    "The heart\n is   LARGER.\n",
    "",
    "Lungs are clear. " * 12,
    "Cardiomegaly is unknown to this vocabulary.",
)


@pytest.fixture(scope="module")
def theirs():
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install .[parity]")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=POSITIONS,
            attn_implementation="eager",
        )
    ).eval()
    heads = [torch.nn.Linear(32, count) for count in CLASSES]
    with torch.no_grad():
        for parameter in [*model.parameters(), *(p for head in heads for p in head.parameters())]:
            parameter.add_(0.3 * torch.randn_like(parameter))
    return torch, model, heads


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    """Weights under the published names, and the words."""
    _, model, heads = theirs
    folder = tmp_path_factory.mktemp("chexbert")
    tensors = {f"module.bert.{key}": value.numpy() for key, value in model.state_dict().items()}
    for k, head in enumerate(heads):
        for leaf, value in head.state_dict().items():
            tensors[f"module.linear_heads.{k}.{leaf}"] = value.numpy()
    tensors["module.bert.embeddings.position_ids"] = np.arange(POSITIONS)[None]  # older versions
    save_file(tensors, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(WORDS.split()) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def ours(folder):
    return CheXbert(folder, folder, FAMILY)


@pytest.fixture
def small(monkeypatch):
    """Configs describe the small network."""
    monkeypatch.setattr(chexbert, "preset", lambda name, kind: FAMILY)
    yield
    chexbert._network.cache_clear()


@pytest.fixture
def passes(monkeypatch):
    """Texts of each forward pass of any network."""
    counted = []

    def counting(ids, limit):
        for batch in padded(ids, limit):
            counted.append(len(batch[0]))
            yield batch

    monkeypatch.setattr(chexbert, "padded", counting)
    return counted


def test_labels_and_vectors_are_those_of_torch_one_report_at_a_time(theirs, ours):
    torch, model, heads = theirs
    classes, vectors = ours.read(REPORTS)
    for row, ids in enumerate(ours.ids(REPORTS)):
        with torch.no_grad():
            first = model(torch.tensor([ids])).last_hidden_state[0, 0]
            expected = [int(head(first).argmax()) for head in heads]
        assert_close(vectors[row], first.numpy(), rtol=1e-5)
        assert classes[row].tolist() == expected
    assert len(set(map(tuple, classes.tolist()))) > 2  # they differ by report
    np.testing.assert_array_equal(ours.vectors(REPORTS), vectors)


def test_text_is_cleaned_and_cut_as_published(ours):
    words = WORDS.split()
    named = [[words[k] for k in ids] for ids in ours.ids(REPORTS)]
    assert named[0] == ["[CLS]", "no", "effusion", ",", "no", "edema", ".", "[SEP]"]
    assert named[1] == ["[CLS]", "the", "heart", "is", "large", "##r", ".", "[SEP]"]
    assert named[2] == ["[CLS]", "[SEP]"]
    assert named[3] == ["[CLS]", *(["lungs", "are", "clear", "."] * 12)[: POSITIONS - 2], "[SEP]"]
    [text] = ours.ids(["[SEP] edema"])
    assert words.index("[SEP]") not in text[1:-1]


def test_classes_become_labels(ours, monkeypatch):
    classes = np.array([[0, 1, 2, 3] + [0] * 9 + [1], [2] * 13 + [0]])
    monkeypatch.setattr(ours, "read", lambda reports: (classes, None))
    first, second = ours(["a", "b"])
    assert first == {"Cardiomegaly": 1, "Lung Opacity": 0, "Lung Lesion": -1, "No Finding": 1}
    assert second == dict.fromkeys(CHEXPERT_14[:13], 0)


def copied(folder, place):
    for name in ("model.safetensors", "vocab.txt"):
        (place / name).write_bytes((folder / name).read_bytes())
    return CheXbertConfig(weights=str(place))


def changed(place):
    tensors = load_file(place / "model.safetensors")
    tensors["module.linear_heads.0.bias"] += np.float32([100, 0, 0, 0])  # never spoken of
    save_file(tensors, place / "model.safetensors")


def test_the_digest_is_of_bytes_and_not_of_places(small, folder, tmp_path):
    config = copied(folder, tmp_path)
    before = CheXbertConfig(weights=str(folder)).files()
    assert config.files() == before
    changed(tmp_path)
    assert config.files() != before


def test_labeler_metric_and_radcliq_read_each_text_once_for_all_policies(
    small, folder, passes, tmp_path
):
    """What an evaluation with labels, the metric and RadCliQ asks for, of two policies."""
    config = copied(folder, tmp_path)
    labeler, metric, vectors = config.labeling(), config.build(), config.network().vectors
    references, policies = REPORTS[:2], (REPORTS[2:4], (REPORTS[4], REPORTS[0]))
    found = []
    for reports in policies:
        truth, said = labeler.present(references, reports)
        found.append((truth, said, vectors([*references, *reports])))
        judged = metric.judge(references, reports)
        shares = (truth == said).mean(1)
        assert [one.score for one in judged] == pytest.approx(shares)
        assert 0 <= metric.corpus(references, reports) <= 1
    # Two references and two reports; then the one report that is new. Eight passes of four texts
    # each, had everyone a network of their own and no memory.
    assert passes == [4, 1]
    alone = CheXbert(tmp_path, tmp_path, FAMILY)
    for reports, (_, _, ours) in zip(policies, found, strict=True):
        assert_close(alone.vectors([*references, *reports]), ours, rtol=1e-6)


def test_a_network_is_made_anew_where_its_files_change(small, folder, tmp_path):
    config = copied(folder, tmp_path)
    assert config.network() is config.network()
    assert any("Enlarged Cardiomediastinum" in one for one in config.network()(REPORTS))
    changed(tmp_path)
    assert not any("Enlarged Cardiomediastinum" in one for one in config.network()(REPORTS))


@pytest.mark.parametrize("new", [True, False])
def test_the_published_file_is_read_as_it_is(theirs, small, folder, ours, new, tmp_path):
    """A training script's checkpoint with its optimizer's state, of torch before or after 1.6."""
    torch, model, heads = theirs
    state = {f"module.bert.{key}": value for key, value in model.state_dict().items()}
    for k, head in enumerate(heads):
        state |= {f"module.linear_heads.{k}.{leaf}": v for leaf, v in head.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    model(torch.tensor([[2, 3]])).last_hidden_state.sum().backward()
    optimizer.step()  # by nothing, and with a state
    saved = {
        "epoch": 7,
        "model_state_dict": state,
        "optimizer_state_dict": optimizer.state_dict(),
    }
    torch.save(saved, tmp_path / "chexbert.pth", _use_new_zipfile_serialization=new)
    for weights in (tmp_path, tmp_path / "chexbert.pth"):
        config = CheXbertConfig(weights=str(weights), tokenizer=str(folder))
        classes, vectors = config.network().read(REPORTS)
        expected = ours.read(REPORTS)
        np.testing.assert_array_equal(classes, expected[0])
        np.testing.assert_array_equal(vectors, expected[1])
    assert config.files() != CheXbertConfig(weights=str(folder)).files()


def test_what_cannot_be_read_is_named_before_any_report_is(folder, tmp_path):
    def refused(message, **config):
        settings = JudgeSettings(chexbert=CheXbertConfig(**config))
        with pytest.raises(ValueError, match=message):
            build("lc_chexbert", settings)

    refused("judge.chexbert.weights='': set it to CheXbert's chexbert.pth")
    refused("are missing", weights=str(folder))  # 2 layers, not 12
    (tmp_path / "chexbert.pth").write_bytes(b"pickle")
    broken = {"weights": str(tmp_path), "tokenizer": str(folder)}
    refused(r"chexbert\.pth is no file that torch saved", **broken)
    with pytest.raises(
        ValueError, match=r"has no vocab.txt or tokenizer.json; fetch the tokenizer too"
    ):
        CheXbert(folder, tmp_path, FAMILY)


def test_another_tokenizer_is_refused(folder, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "utf-8")
    with pytest.raises(ValueError, match="is not that of bert-base-uncased"):
        CheXbert(folder, tmp_path, FAMILY).ids(["a"])
