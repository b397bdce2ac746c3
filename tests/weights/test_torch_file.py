"""Files of torch are read as torch reads them, and nothing in them is run."""

import functools
import io
import pickle
import zipfile

import numpy as np
import pytest

from chexjax.weights import CheckpointError
from chexjax.weights.torch_file import read_torch

torch = pytest.importorskip("torch", reason="writing such files needs torch")


@pytest.fixture(params=[True, False], ids=["zip", "plain"])
def save(request):
    """As torch saves since 1.6, and as it did before."""
    return functools.partial(torch.save, _use_new_zipfile_serialization=request.param)


def test_every_type_and_shape_comes_back(save, tmp_path):
    table = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "float": table,
        "rows": table[1:3],  # a part of the same storage
        "half": table.half(),
        "double": table.double(),
        "bfloat16": table.bfloat16(),
        "long": table.long(),
        "bool": table > 3,
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(table + 1),
        "nothing": torch.zeros(0, 3),
    }
    save(tensors, tmp_path / "weights.th")
    found = read_torch(tmp_path / "weights.th")
    assert set(found) == set(tensors)
    for key, tensor in tensors.items():
        assert found[key].shape == tuple(tensor.shape)
        ours = found[key].array()
        np.testing.assert_array_equal(ours.astype(np.float64), tensor.detach().double().numpy())
        assert str(ours.dtype) == str(tensor.dtype).removeprefix("torch.")


def test_a_state_dict_with_its_metadata_is_read_from_memory(save):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    saved = io.BytesIO()
    save(model.state_dict(), saved)
    found = read_torch(saved)
    for key, tensor in model.state_dict().items():
        np.testing.assert_array_equal(found[key].array(), tensor.numpy())


def test_of_a_training_script_s_checkpoint_the_model_is_read(save, tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    save(saved, tmp_path / "checkpoint.pth")
    found = read_torch(tmp_path / "checkpoint.pth")
    assert set(found) == {"weight", "bias"}
    np.testing.assert_array_equal(found["weight"].array(), model.weight.detach().numpy())


def rewritten(file, content):
    """The same archive with another pickle."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", b"\0" * 8)


class Evil:
    def __reduce__(self):
        return eval, ("open('it_ran', 'w').close()",)


def test_a_pickle_of_before_1_6_is_not_run_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Evil()}, tmp_path / "weights.th", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"asks for \w+\.eval, which is no part of a tensor"):
        read_torch(tmp_path / "weights.th")
    assert not (tmp_path / "it_ran").exists()


def test_a_file_of_before_1_6_that_is_cut_short_is_an_error(tmp_path):
    torch.save({"x": torch.ones(9)}, tmp_path / "whole.th", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "whole.th").read_bytes()
    for left, message in ((len(whole) - 1, "was cut short"), (len(whole) // 2, "is broken")):
        (tmp_path / "weights.th").write_bytes(whole[:left])
        with pytest.raises(CheckpointError, match=message):
            read_torch(tmp_path / "weights.th")


@pytest.mark.parametrize("module", ["builtins", "os", "torch.nn"])
def test_a_pickle_that_asks_for_anything_else_is_refused_and_not_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"x": Evil()}).replace(b"builtins", module.encode())
    content = content if module == "builtins" else b"c" + module.encode() + b"\nsystem\n."
    rewritten(tmp_path / "weights.th", content)
    with pytest.raises(CheckpointError, match=rf"asks for {module}\.\w+, which is no part of a"):
        read_torch(tmp_path / "weights.th")
    assert not (tmp_path / "it_ran").exists()


def test_what_is_no_such_file_is_named(tmp_path):
    file = tmp_path / "weights.th"
    file.write_bytes(b"not an archive")
    with pytest.raises(CheckpointError, match=r"weights.th is no file that torch saved"):
        read_torch(file)
    torch.save({"x": torch.zeros(2), "epoch": 3}, file)
    with pytest.raises(CheckpointError, match="holds more than the tensors of a state dict"):
        read_torch(file)
    torch.save({"x": torch.zeros(2, 3).T}, file)
    with pytest.raises(CheckpointError, match="is not read row by row"):
        read_torch(file)
    rewritten(file, b"\x80\x02}q\x00")
    with pytest.raises(CheckpointError, match="its pickle is broken"):
        read_torch(file)


def test_numbers_that_are_cut_short_are_an_error(tmp_path):
    torch.save({"x": torch.zeros(4)}, tmp_path / "whole.th")
    with zipfile.ZipFile(tmp_path / "whole.th") as whole:
        content = whole.read("whole/data.pkl")
    rewritten(tmp_path / "weights.th", content)
    found = read_torch(tmp_path / "weights.th")
    with pytest.raises(CheckpointError, match="are not all there"):
        found["x"].array()
