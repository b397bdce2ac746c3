"""Both input pipelines make the same batches, and what is measured is what training has."""

import numpy as np
import pytest

from chexjax.data.tokens import Tokens
from chexjax.perf import data_work
from chexjax.perf.data import batches

RECORDS = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    data_work.write(folder, RECORDS)
    return folder


def test_records_are_the_work_that_is_written_down(folder):
    records = list(data_work.records(folder))
    assert len(records) == RECORDS and len({r.image for r in records}) == RECORDS
    for record in records:
        words = [len(t.split()) for t in (record.prompt, record.chosen, record.rejected)]
        assert words[0] == 32 and 60 <= words[1] <= 130 and 90 <= words[2] <= 165
        assert 20_000 < len(record.image) < 100_000
    assert data_work.SIZES == {"S": 250, "M": 1000, "L": 2000}


def test_torch_makes_the_arrays_that_we_make(folder):
    """The same pixels to the last bit, and the same ids of the reports."""
    pytest.importorskip("torch", reason="the peer needs torch: CHEXJAX_EXTRAS=bench")
    from chexjax.perf.peers.torch_data import Records

    family = data_work.family()
    tokens = Tokens.load(data_work.tokenizer_folder(folder), family)
    theirs = {
        tuple(row["chosen"].tolist()): row
        for row in map(Records(folder).__getitem__, range(RECORDS))
    }
    seen = 0
    for batch in batches(folder, tokens, seed=0):
        pixels = batch["prefix"]["images"]
        assert pixels.dtype == np.uint8 and pixels.shape == (8, 1, 384, 384, 3)
        for row in np.flatnonzero(batch["real"]):
            chosen, rejected = (
                ids[mask][:-1].tolist()
                for ids, mask in zip(batch["targets"][row], batch["mask"][row], strict=True)
            )
            record = theirs[tuple(chosen)]
            assert rejected == record["rejected"].tolist()
            ours = (pixels[row, 0].astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
            np.testing.assert_array_equal(ours.transpose(2, 0, 1), record["image"].numpy())
            seen += 1
    assert seen == RECORDS


def test_torch_batches_are_padded_and_whole(folder):
    pytest.importorskip("torch", reason="the peer needs torch: CHEXJAX_EXTRAS=bench")
    from chexjax.perf.peers.torch_data import Records, collate

    records = Records(folder)
    batch = collate([records[k] for k in range(3)])
    assert tuple(batch["images"].shape) == (3, 3, 384, 384)
    longest = max(len(records[k]["rejected"]) for k in range(3))
    assert tuple(batch["rejected"].shape) == (3, longest)
