"""One shrunken run of the whole method, shared by the tests of the stages."""

import fcntl
import os
import pathlib
import shutil

import pytest

from chexjax.__main__ import main

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = f"--config={ROOT / 'configs' / 'quickstart.py'}:small"


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The workdir of a finished run; tests copy what they want to change.

    Processes that test together share the work: the first that asks runs it, and each gets a copy.
    """
    together = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if together else base) / "finished"
    with open(made.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["run", CONFIG, f"--workdir={made}"]) == 0  # no work where it has finished
        return shutil.copytree(made, tmp_path_factory.mktemp("finished") / "whole")
