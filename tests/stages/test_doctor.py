import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys

import jax
import pytest

from chexjax.__main__ import main
from chexjax.perf.chips import CHIPS, Chip


def test_a_model_is_counted_without_being_made(capsys):
    assert main(["doctor", "--model=chexagent2_3b", "--fsdp=8"]) == 0
    printed = capsys.readouterr().out
    for figure in ("861", "3,140,746,752", "13", "320.0 KiB", "each of 8"):
        assert figure in printed


needs_plugin = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None,
    reason="jax_cuda12_plugin is not installed: CHEXJAX_EXTRAS=aot launch/local test",
)


@needs_plugin
@pytest.mark.parametrize(
    ("axes", "mesh"),
    [
        ([], "1 x 8 x 1"),
        (["--data=2"], "2 x 4 x 1"),
        (["--fsdp=4"], "2 x 4 x 1"),
        (["--fsdp=2", "--tensor=2"], "2 x 2 x 2"),
    ],
)
def test_a_model_is_compiled_for_gpus_that_are_not_here(axes, mesh, capsys):
    assert main(["doctor", "--model=minilm_l6", "--topology=h100:8", *axes]) == 0
    printed = capsys.readouterr().out
    for words in (mesh, "79.10 GiB", "fits", "yes", "all-gather"):
        assert words in printed


@needs_plugin
def test_nobody_has_to_tell_jax_that_there_is_no_gpu():
    command = [sys.executable, "-m", "chexjax", "doctor", "--model=minilm_l6", "--topology=h100:1"]
    environment = {key: value for key, value in os.environ.items() if key != "JAX_PLATFORMS"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "1 x 1 x 1" in run.stdout and "Traceback" not in run.stderr


def shown(capsys):
    """What was printed, each row of a table as one line."""
    return " ".join(capsys.readouterr().out.replace("│", "").split())


def test_the_machine_is_described(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor", f"--workdir={tmp_path / 'not' / 'yet'}"]) == 0
    said = shown(capsys)
    for words in (
        "1 x cpu (cpu)",
        "mesh data=1 x fsdp=1 x tensor=1",
        "attention xla",
        f"{tmp_path / 'not' / 'yet'}, ",
        f"{shutil.disk_usage(tmp_path).free / 2**30:,.0f}"[:-1],
        f"jax {jax.__version__}",
        "GFLOP/s by each",
        "nobody to send to",
    ):
        assert words in said


def test_speed_is_held_against_the_chip(monkeypatch, capsys):
    """One second, by any clock, for what is counted by hand; the CPU as a chip of 4 GFLOP/s."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("chexjax.perf.speed._seconds", lambda *_: 1.0)
    wires = {"links": 1e9, "network": 1e8}
    chip = Chip(kinds=("cpu",), flops=8 * 2 * 512**3 * 4, memory=1e10, wires=wires)
    monkeypatch.setitem(CHIPS, "stand-in", chip)
    assert main(["doctor"]) == 0
    assert "matmul in float32 2.1 GFLOP/s by each, 25% of 9" in shown(capsys)


def test_a_job_of_two_processes_is_measured_as_one_machine():
    """Each has two devices; one of them says what all of them do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    job = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "XLA_FLAGS": flags}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "chexjax", "doctor", "--fsdp=2"],
            env={**os.environ, **job, "JAX_PROCESS_ID": str(index), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        (first, errors), (second, _) = (one.communicate(timeout=240) for one in processes)
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    assert "4 x cpu (cpu), in 2 processes" in first and "data=2 x fsdp=2 x tensor=1" in first
    assert re.findall(r"all-reduce along (\w+) .*B/s sent by each", first) == ["data", "fsdp"]
    assert "cpu" not in second


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--model=green_lama2_7b", "green_llama2_7b"),
        ("--fsdp=0", "fsdp"),
        ("--fsdp=64", "the mesh: data=1 x fsdp=64"),
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
