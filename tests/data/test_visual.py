import ml_dtypes
import numpy as np
import pytest

from chexjax.artefacts import ArtefactError
from chexjax.data.visual import VisualTokens, VisualWriter

UNIT, RUN, WIDTH = 2, 4, 16
SHAPE = (UNIT, 2 * RUN, WIDTH)
IDS = ["a", "b", "c", "d", "e"]


def tokens_of(images, dtype):
    """Two images a study at most, zeros behind the last."""
    tokens = np.random.default_rng(0).standard_normal((6, *SHAPE[1:])).astype(dtype)
    for row, count in enumerate((*images, 0)):
        tokens[row, count * RUN :] = 0
    return tokens


def filled(folder, tokens, units=(0, 1, 2)):
    writer = VisualWriter(folder, 3, SHAPE, run=RUN, dtype=tokens.dtype)
    for unit in units:
        writer.write(unit, tokens[unit * UNIT : (unit + 1) * UNIT])
    return folder


def contents(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_tokens_come_back_bit_by_bit_in_any_order(dtype, tmp_path):
    tokens = tokens_of((2, 1, 2, 0, 2), dtype)
    read = VisualTokens(filled(tmp_path / "t", tokens), IDS)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read(["e", "b", "b", "d"]), tokens[[4, 1, 1, 3]])


def test_a_unit_is_a_file_and_absent_images_take_no_space(tmp_path):
    folder = filled(tmp_path / "t", tokens_of((2, 1, 0, 0, 2), np.float32))
    sizes = {file.parts[-3]: file.stat().st_size for file in folder.glob("c/*/0/0")}
    image = RUN * WIDTH * 4 + 4  # with its checksum
    index = UNIT * 2 * 16 + 4  # offset and length of each chunk
    assert sizes == {"0": 3 * image + index, "2": 2 * image + index}


def test_what_a_kill_left_half_written_is_written_again(tmp_path):
    tokens = tokens_of((2, 1, 2, 2, 1), np.float32)
    whole = contents(filled(tmp_path / "whole", tokens))
    folder = filled(tmp_path / "killed", tokens)
    for unit in (1, 2):
        shard = folder / "c" / str(unit) / "0" / "0"
        shard.write_bytes(shard.read_bytes()[:50])
        shard.with_name("0.__lock").write_bytes(b"longer than what comes" * 99)
    assert contents(filled(folder, tokens, units=(1, 2))) == whole


def test_a_flipped_bit_is_refused_when_it_is_read(tmp_path):
    folder = filled(tmp_path / "t", tokens_of((2, 2, 2, 2, 2), np.float32))
    shard = folder / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[9] ^= 1
    shard.write_bytes(data)
    read = VisualTokens(folder, IDS)
    read(["c"])
    with pytest.raises(ArtefactError, match=r"c/0/0/0.*run it again"):
        read(["a"])


def test_another_array_is_not_written_over(tmp_path):
    folder = filled(tmp_path / "t", tokens_of((2, 2, 2, 2, 2), np.float32))
    with pytest.raises(ArtefactError, match="bfloat16"):
        VisualWriter(folder, 3, SHAPE, run=RUN, dtype=ml_dtypes.bfloat16)
