"""What every test stands on: JAX on the CPU, and compiled programs kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports JAX, which reads them once. Whoever sets them outside is obeyed.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache / "chexjax" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
