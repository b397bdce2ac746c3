import importlib.util
import os
import subprocess
import sys

import pytest

from chexjax.__main__ import main


def test_a_model_is_counted_without_being_made(capsys):
    assert main(["doctor", "--model=chexagent2_3b", "--fsdp=8"]) == 0
    shown = capsys.readouterr().out
    for figure in ("861", "3,140,746,752", "13", "320.0 KiB", "each of 8"):
        assert figure in shown


needs_plugin = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None,
    reason="jax_cuda12_plugin is not installed: CHEXJAX_EXTRAS=aot launch/local test",
)


@needs_plugin
@pytest.mark.parametrize(
    ("axes", "shown"),
    [
        ([], "1 x 8 x 1"),
        (["--data=2"], "2 x 4 x 1"),
        (["--fsdp=4"], "2 x 4 x 1"),
        (["--fsdp=2", "--tensor=2"], "2 x 2 x 2"),
    ],
)
def test_a_model_is_compiled_for_gpus_that_are_not_here(axes, shown, capsys):
    assert main(["doctor", "--model=minilm_l6", "--topology=h100:8", *axes]) == 0
    printed = capsys.readouterr().out
    for words in (shown, "79.10 GiB", "fits", "yes", "all-gather"):
        assert words in printed


@needs_plugin
def test_nobody_has_to_tell_jax_that_there_is_no_gpu():
    command = [sys.executable, "-m", "chexjax", "doctor", "--model=minilm_l6", "--topology=h100:1"]
    environment = {key: value for key, value in os.environ.items() if key != "JAX_PLATFORMS"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "1 x 1 x 1" in run.stdout and "Traceback" not in run.stderr


def test_the_machine_is_described(capsys):
    assert main(["doctor"]) == 0
    assert "cpu" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--model=green_lama2_7b", "green_llama2_7b"),
        ("--fsdp=0", "fsdp"),
        ("--dtype=int4", "dtype"),
        ("--modle=x", "modle"),
        ("extra", "extra"),
        ("--topology=h100:8", "name it"),
        ("--model=minilm_l6 --topology=h10:8", "h100"),
    ],
)
def test_what_cannot_be_used_is_named(argument, words, capsys):
    assert main(["doctor", *argument.split()]) == 2
    assert words in capsys.readouterr().err
