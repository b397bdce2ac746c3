"""Processes of one job work in a bucket by one staging folder, or are told that they cannot.

Run as a program, `test_workdir.py ADDRESS INDEX APART COMMON`, this file is one of two processes.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chexjax import artefacts
from chexjax.artefacts import ALONE
from chexjax.artefacts.workdir import opened
from chexjax.config import ConfigError
from chexjax.distributed import join, meet
from tests.artefacts.s3_server import BUCKET, KEY, serving

URL = f"s3://{BUCKET}/a"


def test_a_folder_is_a_folder(tmp_path):
    with opened(str(tmp_path / "run"), ALONE) as workdir:
        assert workdir == tmp_path / "run" and not workdir.exists()


def made(workdir):
    begun = artefacts.begin(workdir / "rows", "rows", content={}, config={}, inputs={})
    if isinstance(begun, artefacts.Draft):
        (begun.path / "text").write_text("made")
        begun.finish()


def test_processes_of_a_job_have_one_folder_in_common(tmp_path):
    """What the bucket has is there for all; folders that are not the same are found out."""
    with serving() as (store, address), socket.socket() as free:
        environment = os.environ | {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, environment[name])
            patch.setenv("CHEXJAX_STAGING", str(tmp_path / "elsewhere"))
            with opened(URL, ALONE) as workdir:
                made(workdir)
        free.bind(("127.0.0.1", 0))
        job = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    job,
                    str(k),
                    str(tmp_path / f"{k}"),
                    str(tmp_path / "c"),
                ],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for k in (0, 1)
        ]
        said = [one.communicate(timeout=240)[0] for one in running]
    for index, words in enumerate(said):
        assert "do not all see" in words and "CHEXJAX_STAGING" in words, words
        assert f"process {index} reads made" in words, words
    assert {"by-0", "by-1"} <= store.below("a/").keys()  # what any of them has written


def _one_of_two(job, index, apart, common):
    os.environ |= {"JAX_COORDINATOR_ADDRESS": job, "JAX_NUM_PROCESSES": "2"}
    os.environ |= {"JAX_PROCESS_ID": index, "CHEXJAX_STAGING": apart}
    join()
    try:
        with opened(URL, ALONE):
            print("opened", flush=True)
    except ConfigError as error:
        print(error, flush=True)
    os.environ["CHEXJAX_STAGING"] = common
    with opened(URL, ALONE) as workdir:
        print(f"process {index} reads {(workdir / 'rows' / 'text').read_text()}", flush=True)
        (workdir / f"by-{index}").write_text("")
        meet("all have written")


if __name__ == "__main__":
    _one_of_two(*sys.argv[1:])
