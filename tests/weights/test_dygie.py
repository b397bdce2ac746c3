"""RadGraph's archive: what it says of its model, and what cannot be used of it."""

import json
import shutil
import tarfile

import pytest

pytest.importorskip("torch", reason="making an archive needs torch: pip install .[parity]")

from chexjax.judges import JudgeSettings, build  # noqa: E402
from chexjax.judges.radgraph import RadGraphConfig, extractor_of  # noqa: E402
from chexjax.weights import CheckpointError  # noqa: E402
from chexjax.weights.dygie import Archive  # noqa: E402
from chexjax.weights.encoders import encoder_spec  # noqa: E402
from tests.parity import dygie  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return dygie.DyGIE()


@pytest.fixture(scope="module")
def folders(model, tmp_path_factory):
    """An archive, the same unpacked, and its encoder's folder."""
    root = tmp_path_factory.mktemp("dygie")
    dygie.write_archive(root / "model.tar.gz", model)
    with tarfile.open(root / "model.tar.gz") as opened:
        opened.extractall(root / "model", filter="data")
    dygie.write_encoder(root / "encoder")
    return root


def family(path, folders, dataset=""):
    return Archive(path).family(dataset, encoder_spec(folders / "encoder"))


def test_sizes_and_labels_are_those_of_the_archive_packed_or_not(folders):
    for path in (folders / "model.tar.gz", folders / "model"):
        spans = family(path, folders).spans
        assert (spans.longest, spans.feature, spans.hidden) == (3, 5, (12, 9))
        assert list(spans.entities) == dygie.ENTITIES and list(spans.relations) == dygie.RELATIONS
        assert spans.width == 2 * 32 + 5 and spans.kept == 0.5
        assert Archive(path).segment == dygie.SEGMENT
        assert len(Archive(path).checkpoint()) == len(dygie.DyGIE().state_dict())


def test_judges_are_known_by_the_bytes_of_the_archive_and_not_by_its_place(folders, tmp_path):
    def files(archive):
        return RadGraphConfig(archive=str(archive), encoder=str(folders / "encoder")).files()

    shutil.copy(folders / "model.tar.gz", tmp_path / "model.tar.gz")
    before = files(folders / "model.tar.gz")
    assert files(tmp_path / "model.tar.gz") == before
    dygie.write_archive(tmp_path / "model.tar.gz", dygie.DyGIE())
    after = files(tmp_path / "model.tar.gz")
    assert after["archive"] != before["archive"] and after["encoder"] == before["encoder"]
    unpacked = files(folders / "model")
    shutil.copytree(folders / "model", tmp_path / "model")
    (tmp_path / "model" / "metrics.json").write_text("{}", "utf-8")  # read by nothing
    assert files(tmp_path / "model") == unpacked
    labels = tmp_path / "model" / "vocabulary" / "radgraph__relation_labels.txt"
    labels.write_text("modify\nlocated_at\nelse\n", "utf-8")
    assert files(tmp_path / "model")["archive"] != unpacked["archive"]


def test_the_labels_of_one_of_several_data_sets_are_named(model, folders, tmp_path):
    shutil.copytree(folders / "model", tmp_path / "model")
    for kind in ("ner", "relation"):
        labels = tmp_path / "model" / "vocabulary" / f"radgraph__{kind}_labels.txt"
        shutil.copy(labels, labels.with_name(f"other__{kind}_labels.txt"))
    with pytest.raises(CheckpointError, match=r"labels of \['other', 'radgraph'\], not of ''"):
        family(tmp_path / "model", folders)
    assert family(tmp_path / "model", folders, "radgraph") == family(folders / "model", folders)


def test_a_model_of_other_tasks_is_refused(model, folders, tmp_path):
    for changed in (
        {"loss_weights": {"coref": 1.0}},
        {"modules": {"coref": {"coref_prop": 2}, "relation": {"spans_per_word": 0.5}}},
    ):
        dygie.write_archive(tmp_path / "model.tar.gz", model, **changed)
        with pytest.raises(CheckpointError, match="ask for coreference or events"):
            family(tmp_path / "model.tar.gz", folders)


def test_a_config_that_the_weights_contradict_is_refused(model, folders, tmp_path):
    changed = {"feedforward_params": {"num_layers": 1, "hidden_dims": 12}}
    dygie.write_archive(tmp_path / "model.tar.gz", model, **changed)
    config = RadGraphConfig(
        archive=str(tmp_path / "model.tar.gz"), encoder=str(folders / "encoder")
    )
    with pytest.raises(CheckpointError, match=r"are unknown: _ner\._ner_scorers\.radgraph__ner"):
        extractor_of(config)


def test_what_is_no_archive_is_named(folders, tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere is no whole .tar.gz .*; give"):
        Archive(tmp_path / "nowhere")
    cut = (folders / "model.tar.gz").read_bytes()[:3000]
    (tmp_path / "cut.tar.gz").write_bytes(cut)
    with pytest.raises(CheckpointError, match="is no whole .tar.gz"):
        Archive(tmp_path / "cut.tar.gz")
    with pytest.raises(CheckpointError, match=r"has no weights.th; give an archive of DyGIE"):
        Archive(folders / "encoder")


def test_an_encoder_that_is_no_bert_is_refused_before_the_archive_is_opened(folders, tmp_path):
    said = json.loads((folders / "encoder" / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(said | {"model_type": "modernbert"}), "utf-8")
    config = RadGraphConfig(archive=str(folders / "model.tar.gz"), encoder=str(tmp_path))
    with pytest.raises(CheckpointError, match="model_type 'modernbert' is no text encoder known"):
        build("radgraph_partial", JudgeSettings(radgraph=config))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"archive": ""}, "judge.radgraph.archive='' is not there; give RadGraph's .tar.gz"),
        ({"encoder": "/nowhere"}, "judge.radgraph.encoder='/nowhere' is not there"),
        ({"words": "mine"}, "judge.radgraph.words='mine': choose one of"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_judged(changed, message, folders):
    fine = {"archive": str(folders / "model.tar.gz"), "encoder": str(folders / "encoder")}
    settings = JudgeSettings(radgraph=RadGraphConfig(**fine | changed))
    with pytest.raises(ValueError, match=message):
        build("radgraph_partial", settings)
