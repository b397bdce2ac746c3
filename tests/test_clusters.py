"""What the launchers of clusters would run, read by those who would read it: shells, YAML, JSON."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

LAUNCH = Path(__file__).parents[1] / "launch"
ARGUMENTS = [
    "run",
    "--config=configs/a b.py:small",
    '--config.sft.freeze=("vision/", r"\\d+$")',
    "--workdir=/runs/it's",
]
WHERE = {
    "slurm": (),
    "jobset": ("--topology=v5e:4x4", "--image=x/chexjax:1"),
    "xpk": ("--topology=v5e:4x4", "--image=x/chexjax:1", "--cluster=c"),
    "sky": (),
    "tpu": ("--topology=v5e:4x4", "--project=p", "--zone=z", "--source=https://x/chexjax.git"),
}


def call(name: str, *options: str, arguments: list[str] = ARGUMENTS, **environment: str) -> Any:
    command = [str(LAUNCH / name), *options, *(["--", *arguments] if arguments else [])]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


def dry(name: str, *options: str) -> str:
    done = call(name, *WHERE[name], *options, "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def words_of(line: str) -> list[str]:
    """A command line as bash reads it, `$'...'` included."""
    script = f"set -- {line}\nprintf '%s\\0' \"$@\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def shellcheck(script: str) -> None:
    found = shutil.which("shellcheck")
    if found is not None:
        said = subprocess.run(
            [found, "-s", "bash", "-"], input=script, capture_output=True, text=True
        )
        assert said.returncode == 0, said.stdout


def test_the_launchers_themselves_are_sound() -> None:
    files = [file for file in LAUNCH.iterdir() if file.name != "common.sh"]
    assert {file.name for file in files} == {"local", *WHERE}
    assert all(os.access(file, os.X_OK) for file in files)
    found = shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck is not installed")
    said = subprocess.run([found, "-x", *map(str, files)], cwd=LAUNCH.parent, capture_output=True)
    assert said.returncode == 0, said.stdout.decode()


# SLURM


def directives(script: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE))


def srun(script: str) -> list[str]:
    [line] = [line for line in script.splitlines() if line.startswith("srun ")]
    return words_of(line.removesuffix(" || code=$?"))


def test_slurm_starts_one_process_a_machine_with_all_gpus() -> None:
    script = dry("slurm", "--nodes=4", "--partition=gpu", "--time=2:00:00")
    assert directives(script) == {
        "job-name": "chexjax",
        "nodes": "4",
        "ntasks-per-node": "1",
        "gpus-per-node": "8",
        "cpus-per-task": "16",
        "time": "2:00:00",
        "partition": "gpu",
        "output": "%x-%j.log",
        "open-mode": "append",
        "requeue": "",
        "signal": "TERM@120",
    }
    assert srun(script)[:2] == ["srun", "--cpus-per-task=16"]
    assert srun(script)[2:] == [".venv/bin/python", "-m", "chexjax", *ARGUMENTS]
    assert "export CHEXJAX_CLUSTER=auto\nexport JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7\n" in script
    shellcheck(script)


def test_slurm_starts_one_process_a_gpu_where_it_is_asked_to() -> None:
    script = dry("slurm", "--gpus=4", "--processes=4", "--account=me")
    asked = directives(script)
    assert (asked["ntasks-per-node"], asked["gpus-per-node"], asked["account"]) == ("4", "4", "me")
    assert "JAX_LOCAL_DEVICE_IDS" not in script and "partition" not in asked


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (2, False), (75, True)])
def test_a_job_that_saved_is_queued_again_and_no_other(tmp_path, code, requeued) -> None:
    """The script runs for real, with stand-ins for what SLURM would bring."""
    for name, text in (("srun", f"exit {code}"), ("scontrol", 'echo "$@" >requeued')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = re.sub(
        r"^cd .*$", f"cd {shlex.quote(str(tmp_path))}", dry("slurm"), flags=re.MULTILINE
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", "-c", script], env=environment)
    assert done.returncode == code
    asked = tmp_path / "requeued"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if requeued else "")


# Kubernetes


def test_a_jobset_of_tpu_slices() -> None:
    made = yaml.safe_load(dry("jobset", "--slices=2", "--volume=runs", "--name=one"))
    assert (made["apiVersion"], made["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    [replicated] = made["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert replicated["replicas"] == 2
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (4, 4, "Indexed")
    [rule] = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2])
    [rule] = made["spec"]["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    pod = job["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    [container] = pod["containers"]
    assert container["command"] == ["python", "-m", "chexjax", *ARGUMENTS]
    assert container["env"] == [{"name": "CHEXJAX_CLUSTER", "value": "auto"}]
    assert container["resources"] == {"limits": {"google.com/tpu": 4}}
    assert container["volumeMounts"] == [{"name": "runs", "mountPath": "/runs"}]
    assert pod["volumes"] == [{"name": "runs", "persistentVolumeClaim": {"claimName": "runs"}}]


def test_a_jobset_of_machines_with_gpus_says_who_is_who() -> None:
    """Pods of a JobSet are called JOBSET-JOB-REPLICA-INDEX, in a domain that is called as it is."""
    options = ("--topology=h100:4x8", "--image=i", "--name=one", "--dry_run")
    made = yaml.safe_load(call("jobset", *options).stdout)
    [replicated] = made["spec"]["replicatedJobs"]
    [container] = replicated["template"]["spec"]["template"]["spec"]["containers"]
    said = {one["name"]: one.get("value") for one in container["env"]}
    assert said["JAX_COORDINATOR_ADDRESS"] == f"one-{replicated['name']}-0-0.one:8476"
    assert said["JAX_NUM_PROCESSES"] == "4" and "JAX_PROCESS_ID" in said
    assert container["ports"] == [{"containerPort": 8476}]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    assert "volumeMounts" not in container


@pytest.mark.parametrize(
    ("topology", "hosts", "chips", "type_"),
    [
        ("v4:2x2x4", 4, 4, "v4-32"),
        ("v5e:2x4", 1, 8, "v5litepod-8"),
        ("v5e:16x16", 64, 4, "v5litepod-256"),
        ("v5p:2x2x2", 2, 4, "v5p-16"),
        ("v6e:2x2", 1, 4, "v6e-4"),
    ],
)
def test_slices_have_the_machines_and_the_names_that_the_cloud_gives_them(
    topology, hosts, chips, type_
) -> None:
    options = (f"--topology={topology}", "--image=i", "--dry_run")
    [job] = yaml.safe_load(call("jobset", *options).stdout)["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert spec["completions"] == hosts
    assert container["resources"]["limits"] == {"google.com/tpu": chips}
    words = words_of(call("xpk", *options, "--cluster=c", "--slices=2").stdout)
    assert f"--tpu-type={type_}" in words and "--num-slices=2" in words


def test_xpk_is_given_one_command_of_many_words() -> None:
    words = words_of(dry("xpk"))
    assert words[:3] == ["xpk", "workload", "create"]
    assert "--restart-on-exit-codes=75" in words
    [command] = [word for word in words if word.startswith("--command=")]
    inside = words_of(command.removeprefix("--command="))
    assert inside == ["CHEXJAX_CLUSTER=auto", "python", "-m", "chexjax", *ARGUMENTS]


# SkyPilot


@pytest.mark.parametrize("accelerators", ["H100:8", "tpu-v5litepod-16"])
def test_a_task_for_skypilot(accelerators) -> None:
    text = dry("sky", f"--accelerators={accelerators}", "--nodes=2", "--bucket=gs://b")
    task = yaml.safe_load(text)
    recovery = {"recover_on_exit_codes": [75]}
    expected = {"accelerators": accelerators, "use_spot": True, "job_recovery": recovery}
    assert task["resources"] == expected
    assert task["num_nodes"] == 2 and task["workdir"] == str(LAUNCH.parent)
    assert task["file_mounts"] == {"/runs": {"source": "gs://b", "mode": "MOUNT"}}
    assert task["setup"].endswith(" launch/local install\n") and "uv python" in task["setup"]
    shellcheck(task["setup"])
    on_tpu = accelerators.startswith("tpu")
    assert task["envs"] == {"CHEXJAX_EXTRAS": "tpu" if on_tpu else "cuda12"}
    shellcheck(task["run"])
    script = task["run"].replace("exec launch/local", "env; printf 'word=%s\\n'")
    given = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NUM_NODES": "2"}
    environment = {"PATH": os.environ["PATH"], **given, "SKYPILOT_NODE_RANK": "1"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert [line.removeprefix("word=") for line in said if line.startswith("word=")] == ARGUMENTS
    joins = {line for line in said if line.startswith(("JAX_", "CHEXJAX_"))}
    assert joins == (
        {"CHEXJAX_CLUSTER=auto"}
        if on_tpu
        else {"JAX_COORDINATOR_ADDRESS=10.0.0.1:8476", "JAX_NUM_PROCESSES=2", "JAX_PROCESS_ID=1"}
    )


# Cloud TPU

GCLOUD = """#!/usr/bin/env bash
echo "$*" >>"$LOG"
case "$*" in
  *describe*) sed -n "$(grep -c describe "$LOG")p" "$STATES" ;;
  *"launch/local run"*) exit "$(sed -n "$(grep -c 'launch/local run' "$LOG")p" "$CODES")" ;;
esac
"""


@pytest.fixture
def cloud(tmp_path):
    """A stand-in for gcloud: what it is asked, with the states and exit codes that it gives."""

    def run(states: list[str], codes: list[int], *options: str) -> tuple[Any, list[str]]:
        for name, text in (("gcloud", GCLOUD), ("sleep", "#!/bin/sh\n")):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        (tmp_path / "states").write_text("\n".join(states) + "\n")
        (tmp_path / "codes").write_text("\n".join(map(str, codes)) + "\n")
        files = {"LOG": "log", "STATES": "states", "CODES": "codes"}
        environment = {name: str(tmp_path / file) for name, file in files.items()}
        path = f"{tmp_path}:{os.environ['PATH']}"
        arguments = ["run", "--workdir=/runs/a"]
        options = (*WHERE["tpu"], "--commit=abc", *options)
        done = call("tpu", *options, arguments=arguments, PATH=path, **environment)
        verbs = re.findall(
            r"queued-resources (\w+)|(launch/local \w+)", (tmp_path / "log").read_text()
        )
        return done, [verb or words.replace("launch/local ", "") for verb, words in verbs]

    return run


def test_a_slice_is_waited_for_set_up_used_and_given_back(cloud) -> None:
    done, verbs = cloud(["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"], [0])
    assert (done.returncode, verbs) == (
        0,
        ["create", "describe", "describe", "describe", "install", "run", "delete"],
    )
    assert "chexjax is WAITING_FOR_RESOURCES" in done.stderr


def test_a_slice_that_is_taken_away_is_asked_for_again_until_the_command_is_done(cloud) -> None:
    done, verbs = cloud(["ACTIVE", "SUSPENDED", "ACTIVE"], [255, 0], "--keep")
    one = ["create", "describe", "install", "run"]
    assert (done.returncode, verbs) == (0, [*one, "describe", "delete", *one])


def test_a_slice_that_is_said_to_be_gone_minutes_later_is_asked_for_again(cloud) -> None:
    done, verbs = cloud(["ACTIVE", "ACTIVE", "ACTIVE", "SUSPENDING", "ACTIVE"], [75, 0], "--keep")
    one = ["create", "describe", "install", "run"]
    assert (done.returncode, verbs) == (0, [*one, *["describe"] * 3, "delete", *one])


def test_a_slice_that_is_taken_away_before_it_is_used_is_asked_for_again(cloud) -> None:
    done, verbs = cloud(["PROVISIONING", "SUSPENDED", "SUSPENDED", "ACTIVE"], [0])
    begun = ["create", "describe"]
    assert verbs[:5] == [*begun, "describe", "describe", "delete"]
    assert (done.returncode, verbs[5:]) == (0, [*begun, "install", "run", "delete"])


def test_a_command_that_fails_on_a_slice_that_is_there_is_not_tried_again(cloud) -> None:
    done, verbs = cloud(["ACTIVE"] * 20, [2])
    assert (done.returncode, verbs[3:]) == (2, ["run", *["describe"] * 10])
    assert "ended with 2; the slice chexjax is kept" in done.stderr


def test_the_commands_of_a_slice_are_what_it_would_run() -> None:
    lines = dry("tpu", "--on_demand").splitlines()
    create, describe, set_up, work, delete = map(words_of, lines)
    assert create[:6] == ["gcloud", "compute", "tpus", "queued-resources", "create", "chexjax"]
    where = ["--project=p", "--zone=z"]
    assert create[6:] == [
        "--node-id=chexjax",
        *where,
        "--accelerator-type=v5litepod-16",
        "--runtime-version=v2-alpha-tpuv5-lite",
    ]
    assert describe[6:8] == where and delete[-2:] == ["--force", "--quiet"]
    for words in (set_up, work):
        assert words[3:9] == ["tpu-vm", "ssh", "chexjax", *where, "--worker=all"]
        shellcheck(words[9].removeprefix("--command="))
    inside = words_of(work[9].removeprefix("--command=cd chexjax && "))
    assert inside == ["CHEXJAX_CLUSTER=auto", "CHEXJAX_EXTRAS=tpu", "launch/local", *ARGUMENTS]


# What cannot be


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("slurm", ["--nodez=3"], "--nodez=3 is no option; there are: nodes gpus"),
        ("slurm", ["--nodes=few"], "--nodes=few is no number from 1 on"),
        ("slurm", ["--nodes"], "--nodes needs a value"),
        ("slurm", ["--processes=3"], "--processes=3 must be 1, or 8 as there are --gpus"),
        ("jobset", ["--image=i"], "--topology=... is missing"),
        ("jobset", ["--topology=v5e:3", "--image=i"], "--topology=v5e:3 is no slice"),
        ("jobset", ["--topology=h100:8", "--image=i"], "write h100:4x8"),
        ("jobset", ["--topology=v5e:4x4", "--image=i", "--name=A_b"], "--name=A_b must be small"),
        ("xpk", ["--topology=v7:4x4", "--image=i", "--cluster=c"], "there is no generation v7"),
        ("xpk", ["--topology=v5p:3x3x3", "--image=i", "--cluster=c"], "27 chips are no whole"),
        ("sky", ["--nodes=0"], "--nodes=0 is no number from 1 on"),
        ("tpu", ["--topology=v5e:4x4"], "--project=... is missing"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_runs(name, options, words) -> None:
    done = call(name, *options, "--dry_run")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.startswith(f"launch/{name}: ")


@pytest.mark.parametrize("name", WHERE)
def test_nothing_to_run_is_an_error_and_help_is_not(name) -> None:
    assert "what shall run?" in call(name, *WHERE[name], arguments=[]).stderr
    helped = call(name, "--help", arguments=[])
    assert helped.returncode == 0 and f"launch/{name} [options] -- STAGE" in helped.stdout
