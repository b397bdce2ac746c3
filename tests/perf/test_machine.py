"""The machine is said to be what it is."""

import os
import platform
import re

import jax

from chexjax.perf import installed, machine


def test_the_machine_is_described(monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    said = machine.describe({"torch": "2.13"})
    assert re.match(rf"{os.cpu_count()}( x .+)?, {platform.machine()}$", said["processor"])
    assert said["devices"] == f"{jax.device_count()} x cpu (cpu)"
    assert said["threads"] == "XLA 3, OpenMP all" and machine.cores() == 3
    assert f"jax {jax.__version__}" in said["versions"] and said["peers"] == "torch 2.13"
    assert said["malloc's huge pages"] == "on"
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert machine.huge_pages().startswith("off; start by launch/local")


def test_peers_that_are_not_installed_have_no_version(monkeypatch):
    brought = {name: [name] for name in ("torch", "transformers", "gguf")}
    monkeypatch.setattr("chexjax.perf.installed.packages_distributions", lambda: brought)
    monkeypatch.setattr("chexjax.perf.installed.version", lambda name: f"{name}'s")
    found = {"torch": "torch's", "transformers": "transformers's"}
    assert installed.versions(["hf", "trl", "vllm"]) == found
    assert installed.absent(["hf", "trl"]) == {"trl": "CHEXJAX_EXTRAS=bench"}
