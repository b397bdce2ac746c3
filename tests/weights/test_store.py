"""What is wrong with a checkpoint is found from its headers, and named."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from chexjax.weights import CheckpointError, Store
from chexjax.weights.store import INDEX, SINGLE

TENSORS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float16)}


@pytest.fixture
def folder(tmp_path):
    """Two shards and their index."""
    places = {}
    for number, (key, tensor) in enumerate(TENSORS.items()):
        places[key] = f"model-{number}.safetensors"
        save_file({key: tensor}, tmp_path / places[key])
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": places}))
    return tmp_path


def refused(path, *words):
    with pytest.raises(CheckpointError) as caught:
        Store(path)
    for word in words:
        assert word in str(caught.value)


def test_a_sharded_checkpoint_reads_as_one(folder):
    store = Store(folder)
    assert set(store) == set(TENSORS)
    for key, tensor in TENSORS.items():
        np.testing.assert_array_equal(store[key].array(), tensor)
        assert store[key].dtype == tensor.dtype


def test_a_single_file_reads_with_and_without_its_folder(tmp_path):
    save_file(TENSORS, tmp_path / SINGLE)
    for path in (tmp_path, tmp_path / SINGLE):
        np.testing.assert_array_equal(Store(path)["a.weight"].array(), TENSORS["a.weight"])


def test_a_truncated_shard_is_named(folder):
    shard = folder / "model-0.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    refused(folder, "model-0.safetensors", "cut short", "fetch")


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 64, b"\x04\0\0\0\0\0\0\0{]}]"])
def test_what_is_no_safetensors_file_is_named(tmp_path, content):
    (tmp_path / SINGLE).write_bytes(content)
    refused(tmp_path, SINGLE)


def test_a_missing_shard_is_named(folder):
    (folder / "model-1.safetensors").unlink()
    refused(folder, INDEX, "model-1.safetensors")


def test_a_shard_outside_of_the_folder_is_refused(folder):
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a.weight": "../model-0.safetensors"}}))
    refused(folder, "../model-0.safetensors")


def test_shards_without_their_index_are_refused(folder):
    (folder / INDEX).unlink()
    refused(folder, INDEX, "fetch the index")


@pytest.mark.parametrize("text", ["{", "{}"])
def test_a_broken_index_is_named(folder, text):
    (folder / INDEX).write_text(text)
    refused(folder, INDEX)


def test_an_index_that_disagrees_with_its_shards_is_named(folder):
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a.weight": "model-1.safetensors"}}))
    refused(folder, "disagree on 2 tensors")


def test_a_pickle_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    refused(tmp_path, "pytorch_model.bin", "pickle", "safetensors")


def test_a_type_of_the_future_is_named(tmp_path):
    header = json.dumps({"x": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    (tmp_path / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    refused(tmp_path, "x is of type F4")


def test_nothing_there_is_said(tmp_path):
    refused(tmp_path / "nowhere", "does not exist")
    refused(tmp_path, "neither")
