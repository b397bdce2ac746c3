"""Imports a generated checkpoint of full size, and says how long that took and how much memory.

    python tests/manual/import_full_size.py --folder=/somewhere/with/13/GB [--model=chexagent2_3b]

The checkpoint has the exact keys, shapes and shards of the released one, and random numbers; it is
left in the folder, so a second run skips making it. Not part of the tests: it takes minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chexjax.families import PRESETS, AnyFamily, TextFamily, preset
from chexjax.mesh import MeshConfig, make_mesh, path_name
from chexjax.models import model_class
from chexjax.weights import Store, load_model
from chexjax.weights.names import slots
from chexjax.weights.store import INDEX

SHARD_BYTES = 5_000_000_000
BLOCK = np.random.default_rng(0).standard_normal(1 << 24, np.float32)


def stored_shapes(family: AnyFamily) -> dict[str, tuple[int, ...]]:
    """Every stored tensor, the unused ones included."""
    leaves = jax.tree_util.tree_leaves_with_path(model_class(family).abstract(family)[1])
    found = slots(family.names, {path_name(path): leaf.shape for path, leaf in leaves})
    return {slot.key: slot.stored_shape for slot in found} | dict(family.names.unused)


def make(folder: Path, family: AnyFamily) -> None:
    """Writes the checkpoint in float32, shard by shard."""
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for key, shape in sorted(stored_shapes(family).items()):
        count = 4 * math.prod(shape)
        if size + count > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][key] = shape
        size += count
    places = {}
    for number, shard in enumerate(shards):
        file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        write(folder / file, shard)
        places |= dict.fromkeys(shard, file)
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


def write(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """One shard."""
    header, offset = {}, 0
    for key, shape in shapes.items():
        end = offset + 4 * math.prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for left in range(offset, 0, -BLOCK.nbytes):
            opened.write(memoryview(BLOCK).cast("B")[: min(left, BLOCK.nbytes)])


class Peak(threading.Thread):
    """Watches the process's private memory; pages of mapped files are not in it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.start_bytes = self.most = private_bytes()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.005):
            self.most = max(self.most, private_bytes())


def private_bytes() -> int:
    """Anonymous resident memory."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", choices=sorted(PRESETS), default="chexagent2_3b")
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    family = preset(arguments.model, AnyFamily)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if not (arguments.folder / INDEX).exists():
        make(arguments.folder, family)
    mesh = make_mesh(MeshConfig())
    jnp.zeros(()).block_until_ready()

    peak = Peak()
    peak.start()
    began = time.perf_counter()
    dtype = jnp.dtype(arguments.dtype)
    model = load_model(arguments.folder, family, mesh=mesh, dtype=dtype, param_dtype=dtype)
    state = jax.block_until_ready(nnx.state(model))
    seconds = time.perf_counter() - began
    peak.done.set()
    peak.join()

    finished = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    store = Store(arguments.folder)
    largest = max(tensor.size * tensor.dtype.itemsize for tensor in store.values())
    above, allowed = peak.most - peak.start_bytes, finished + largest
    print(f"{family.name}: {len(store)} tensors, {sum(t.size for t in store.values()):,} numbers")
    print(f"imported as {dtype} in {seconds:.1f} s")
    print(f"finished parameters {finished:,} B, largest stored tensor {largest:,} B")
    print(f"peak private memory above the start {above:,} B, of {allowed:,} B allowed")
    if isinstance(family, TextFamily):
        first = model.decoder.embed.embedding[:1]
        assert bool(jnp.isfinite(first).all())
    if above > allowed:
        raise SystemExit("too much memory")


if __name__ == "__main__":
    main()
