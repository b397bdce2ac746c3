"""What a process frees stays with it, until it is told to give it back."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)

# Fills 256 MiB twice, then gives memory back: page faults of the second time, and memory held
# before and after.
PROGRAM = """
import json, resource
from pathlib import Path

import numpy as np

from chexjax import malloc

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**25)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = malloc.keep_freed()
fill()
again, before = fill(), held()
malloc.give_back()
print(json.dumps([kept, again, before - held()]))
"""


def run(**environment: str) -> tuple[bool, int, float]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=inherited | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    kept, faults, returned = json.loads(done.stdout)
    return kept, faults, returned


def test_what_is_freed_is_used_again_and_can_be_given_back() -> None:
    kept, faults, returned = run()
    assert kept
    assert faults < 100  # 65,536 pages of 4 KiB
    assert returned > 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072"),
    ],
)
def test_what_the_user_has_set_stays(name: str, value: str) -> None:
    kept, faults, _ = run(**{name: value})
    assert not kept
    assert faults > 100
