"""What every test stands on: JAX on the CPU, and compiled programs kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports JAX, which reads them once. Whoever sets them outside is obeyed.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache / "chexjax" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

_LONGEST = (
    "stages/test_run.py",
    "perf/planning/test_aot.py",
    "train/test_step.py",
    "train/test_loop.py",
    "stages/test_share.py",
    "judges/test_trained.py",
    "test_mesh.py",
    "stages/sweeps/test_sweep.py",
)


def pytest_collection_modifyitems(items):
    """Files of minutes come first: none is left to one process while the others have ended."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def real_models():
    """The folder with trained weights and what they are known to compute."""
    default = Path(__file__).parents[2] / "shared" / "models"
    folder = Path(os.environ.get("CHEXJAX_MODELS", default))
    if not folder.is_dir():
        pytest.skip("no trained weights here; CHEXJAX_MODELS can name a folder that has them")
    return folder


@pytest.fixture(scope="session")
def real_data():
    """The folder with real reports and real images, which are not ours to hand on."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CHEXJAX_DATA", default))
    if not folder.is_dir():
        pytest.skip("no real reports here; CHEXJAX_DATA can name a folder that has them")
    return folder
