import json

import pytest

from chexjax.config import ConfigError, freeze
from chexjax.data.image_files import ImageRules
from chexjax.data.instruct.mixture import MixtureConfig
from chexjax.data.instruct.triplet_tables import TripletSource, TripletTable, read_triplets
from chexjax.data.study import Rejected
from tests.data.test_examples import png


def mixture(**fields):
    return freeze(MixtureConfig, fields, "config.mixture")


TABLES = {"slake": {"path": "a.csv"}, "openi": {"path": "b.csv"}}


def test_data_sets_share_an_epoch_by_their_weights_and_tasks_what_theirs_gets():
    config = mixture(
        tasks={"view": 3.0, "findings": 1.0, "disease": 0.0},
        tables=TABLES,
        datasets={"phantom": 2.0, "slake": 0.5},
        held_out=("openi",),
    )
    assert config.shares("phantom") == {
        ("phantom", "view"): pytest.approx(0.6),  # 2 / 2.5 * 3 / 4
        ("phantom", "findings"): pytest.approx(0.2),
        ("slake", ""): pytest.approx(0.2),
    }


def test_weights_are_one_where_nothing_is_said():
    config = mixture(tasks={"view": 1.0}, tables=TABLES)
    assert list(config.shares("phantom").values()) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": {"vieww": 1.0}}, "tasks: no task 'vieww'; did you mean view?"),
        ({"tasks": {"view": -1.0}}, "tasks.view=-1.0 is no weight"),
        ({"tasks": {"view": float("nan")}}, "tasks.view=nan is no weight"),
        ({"tasks": {"view": 0.0, "findings": 0.0}}, "all weights are 0"),
        ({"tasks": {"view": 1.0}, "datasets": {"slake": -0.5}}, "datasets.slake=-0.5 is no weight"),
        ({"tasks": {"view": 1.0}, "per_study": 0}, "per_study=0"),
        ({"tables": {"slake": {"pathh": "x"}}}, "config.mixture.tables.slake.pathh"),
    ],
)
def test_a_wrong_mixture_is_named_with_its_field(fields, message):
    with pytest.raises(ConfigError, match="config.mixture") as error:
        mixture(**fields)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"held_out": ("slaek",)}, "mixture.held_out: no data set 'slaek'; did you mean slake?"),
        ({"datasets": {"openy": 1.0}}, "mixture.datasets: no data set 'openy'"),
        ({"held_out": ("slake", "openi", "phantom")}, "no data set is left to train on"),
        ({"datasets": {"slake": 0, "openi": 0, "phantom": 0}}, "no data set is left to train on"),
    ],
)
def test_wrong_names_of_data_sets_are_named(fields, message):
    config = mixture(tasks={"view": 1.0}, tables=TABLES, **fields)
    with pytest.raises(ValueError, match="mixture") as error:
        config.shares("phantom")
    assert message in str(error.value)


def table(tmp_path, *rows, **columns):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TripletSource("mine", TripletTable(path=str(file), **columns))


def read(source, excluded=frozenset()):
    return list(read_triplets(source, range(len(source)), ImageRules(), excluded))


def test_a_table_s_rows_are_triplets_of_any_number_of_images(tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    one, two, none = read(
        table(
            tmp_path,
            {"id": "q1", "image": "1.png", "question": "Q?", "answer": "A", "task": "vqa"},
            {"image": ["1.png", "2.png"], "question": "P?", "answer": "B", "split": "val"},
            {"image": "", "question": "R?", "answer": "C", "study": "0042"},
        )
    )
    assert (one.id, one.dataset, one.task, one.split) == ("mine/q1", "mine", "vqa", "train")
    assert (one.instruction, one.answer, one.images) == ("Q?", "A", (png(1),))
    assert (two.id, two.split, two.images) == ("mine/row-000001", "validate", (png(1), png(2)))
    assert (none.images, none.studies) == ((), ("0042",))


def test_a_csv_with_columns_of_other_names_is_read_by_them(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("ask,reply\nWhat?,That.\n")
    config = TripletTable(path=str(file), instruction="ask", answer="reply")
    [triplet] = read(TripletSource("t", config))
    assert (triplet.instruction, triplet.answer) == ("What?", "That.")


def test_rows_that_cannot_be_used_are_rejected_one_by_one(tmp_path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    good = {"instruction": "Q?", "answer": "A"}
    found = read(
        table(
            tmp_path,
            good | {"id": "1"},
            good | {"id": "1"},
            good | {"id": "2", "answer": " "},
            good | {"id": "3", "instruction": ""},
            good | {"id": "4", "image": "none.png"},
            good | {"id": "5", "image": "no.png"},
            good | {"id": "6", "study": "s50000001"},
            good | {"id": "7", "split": "tset"},
            good | {"id": "8"},
        ),
        excluded=frozenset({"50000001"}),
    )
    rejected = {one.id: one.reason for one in found if isinstance(one, Rejected)}
    assert [one.id for one in found if not isinstance(one, Rejected)] == ["mine/1", "mine/8"]
    expected = {
        "mine/1": "an earlier triplet has the same id",
        "mine/2": "its answer is empty",
        "mine/3": "its instruction is empty",
        "mine/4": "images that it names are not there: 1",
        "mine/5": "",
        "mine/6": "its study is excluded",
        "mine/7": "its split is none of",
    }
    assert rejected.keys() == expected.keys()
    for name, reason in expected.items():
        assert rejected[name].startswith(reason)


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"instruction": "Q"}, {}, "no answers; name the column as mixture.tables.mine.answer"),
        ({"answer": "A"}, {}, "no instructions; name the column as"),
        (
            {"instruction": "Q", "answer": "A"},
            {"answer": "anwser"},
            "mixture.tables.mine.answer=anwser: no such column",
        ),
    ],
)
def test_columns_that_are_missing_are_named(tmp_path, row, columns, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, row, **columns)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"mixture.tables.mine.path=.*none.csv: there is no such"):
        TripletSource("mine", TripletTable(path=str(tmp_path / "none.csv")))
