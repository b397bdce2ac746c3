"""Two processes that read one checkpoint each read the bytes of their own shards alone.

Run as a program, `test_processes.py ADDRESS RANK FOLDER`, this file is one of the two.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from chexjax.families import Family, preset
from chexjax.mesh import MeshConfig, make_mesh, path_name
from chexjax.testing import random_policy
from chexjax.weights import load_model, save
from chexjax.weights.names import Slot

FAMILY = preset("chexagent2_nano", Family)


def test_each_process_reads_the_bytes_of_its_own_shards(tmp_path):
    save(tmp_path, nnx.state(random_policy(FAMILY)), FAMILY.names, config={})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    readers = [
        subprocess.Popen(
            [sys.executable, __file__, address, str(rank), tmp_path],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(random_policy(FAMILY))))
    for reader in readers:
        out, errors = reader.communicate(timeout=240)
        assert reader.returncode == 0, errors[-2000:]
        read, held = map(int, out.split()[-2:])
        assert read == held < 0.6 * whole


def _read(address, rank, folder):
    """Loads the policy along two processes, and prints bytes read and bytes held."""
    jax.distributed.initialize(address, num_processes=2, process_id=rank)
    read = 0
    ours = Slot.ours

    def counted(slot, stored, index):
        nonlocal read
        piece = ours(slot, stored, index)
        read += piece.nbytes
        return piece

    Slot.ours = counted
    model = load_model(folder, FAMILY, mesh=make_mesh(MeshConfig(data=1, fsdp=2)))
    expected = dict(_leaves(random_policy(FAMILY)))
    held = 0
    for name, leaf in _leaves(model):
        for shard in leaf.addressable_shards:
            held += shard.data.nbytes
            np.testing.assert_array_equal(shard.data, expected[name][shard.index], err_msg=name)
    print(read, held)


def _leaves(model):
    flat = jax.tree_util.tree_leaves_with_path(nnx.state(model))
    return [(path_name(path), leaf) for path, leaf in flat]


if __name__ == "__main__":
    _read(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
