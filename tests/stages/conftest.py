"""One shrunken run of the whole method, shared by the tests of the stages."""

import pathlib

import pytest

from chexjax.__main__ import main

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = f"--config={ROOT / 'configs' / 'quickstart.py'}:small"


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The workdir of a finished run; tests copy what they want to change."""
    workdir = tmp_path_factory.mktemp("run")
    assert main(["run", CONFIG, f"--workdir={workdir}"]) == 0
    return workdir
