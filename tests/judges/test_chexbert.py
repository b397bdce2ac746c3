"""CheXbert from a checkpoint in the published layout, against a BERT of torch with heads on it."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from chexjax.data.chexpert_labels import CHEXPERT_14
from chexjax.families import EncoderFamily, bert
from chexjax.judges import JudgeSettings, build
from chexjax.judges.chexbert import CheXbert, CheXbertConfig
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


def test_the_digest_is_of_bytes_and_not_of_places(ours, folder, tmp_path):
    for name in ("model.safetensors", "vocab.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert CheXbert(tmp_path, tmp_path, FAMILY).digest() == ours.digest()
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["module.linear_heads.0.bias"][0] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    assert CheXbert(tmp_path, tmp_path, FAMILY).digest() != ours.digest()


def test_what_cannot_be_read_is_named_before_any_report_is(folder, tmp_path):
    def refused(message, **config):
        settings = JudgeSettings(chexbert=CheXbertConfig(**config))
        with pytest.raises(ValueError, match=message):
            build("lc_chexbert", settings)

    refused("judge.chexbert.weights='': set it to CheXbert's parameters")
    refused("are missing", weights=str(folder))  # 2 layers, not 12
    (tmp_path / "chexbert.pth").write_bytes(b"pickle")
    refused("chexbert.pth, a pickle: opening one can run any code", weights=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"has no vocab.txt or tokenizer.json; fetch the tokenizer too"
    ):
        CheXbert(folder, tmp_path, FAMILY)


def test_another_tokenizer_is_refused(folder, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "utf-8")
    with pytest.raises(ValueError, match="is not that of bert-base-uncased"):
        CheXbert(folder, tmp_path, FAMILY).ids(["a"])
