"""Several processes as one job: who takes part, and where they meet.

Training runs on the devices of all processes, bulk work on those of each alone (see
`stages.context`). Nothing here does anything in a job of one process.
"""

from __future__ import annotations

import os
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from chexjax.config import ConfigError

_EXPLICIT = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_CLUSTER = "CHEXJAX_CLUSTER"


def join() -> None:
    """Joins the other processes of this job; must come before anything asks for devices.

    `CHEXJAX_CLUSTER=auto` has JAX ask the cluster (Cloud TPU, GKE, SLURM, Open MPI) who they are;
    `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` say
    it outright. Without any of these the process is alone.

    Raises:
      ConfigError: they do not say it all, or contradict each other.
    """
    cluster, given = os.environ.get(_CLUSTER, ""), {n: os.environ.get(n, "") for n in _EXPLICIT}
    if cluster not in ("", "auto"):
        raise ConfigError(f"{_CLUSTER}={cluster!r} is neither 'auto' nor empty")
    if cluster:
        _listen_to_nobody()
        jax.distributed.initialize()
    elif any(given.values()):
        address, count, index = given.values()
        if missing := [name for name, value in given.items() if not value]:
            raise ConfigError(
                f"{', '.join(missing)} must be set too, since "
                f"{' and '.join(n for n in given if given[n])} is; or set {_CLUSTER}=auto alone"
            )
        if not (count.isdecimal() and index.isdecimal() and int(index) < int(count)):
            raise ConfigError(
                f"JAX_PROCESS_ID={index} JAX_NUM_PROCESSES={count}: ids are numbers from 0 to one "
                "less than there are processes"
            )
        _listen_to_nobody()
        jax.distributed.initialize(address, int(count), int(index))


def _listen_to_nobody() -> None:
    """Leaves SIGTERM to `preemption`: JAX's service heeds it in training alone."""
    jax.config.update("jax_enable_preemption_service", False)


def in_job() -> bool:
    """Whether this process has joined a job, be it of one process."""
    return bool(jax.distributed.is_initialized())


def leave(code: int) -> int:
    """Ends a process of a job that has failed, at once; the code, where there is no job.

    On an orderly end JAX waits for all processes, but these wait for this one. When the first
    process is gone, the others are ended too; they notice any other's end by its silence.
    """
    if in_job():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def meet(where: str) -> None:
    """Waits until all processes of the job have come this far."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)


def anywhere(here: bool) -> bool:
    """Whether it is so in any process of the job; all of them ask together."""
    if jax.process_count() == 1:
        return here
    return bool(multihost_utils.process_allgather(np.asarray(here)).any())


def is_first() -> bool:
    """Whether this is the process that writes what one alone writes."""
    return jax.process_index() == 0


def gathered(x: jax.Array | np.ndarray) -> np.ndarray:
    """An array whole, wherever its parts lie; all processes that have some ask together."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        x = multihost_utils.process_allgather(x, tiled=True)
    return np.asarray(x)


def spans_job(mesh: Mesh) -> bool:
    """Whether a mesh holds devices of other processes, so that all must compute together."""
    return len({device.process_index for device in mesh.devices.flat}) > 1


def alone() -> ocp.options.MultiprocessingOptions:
    """Options of Orbax by which this process reads and writes without the others."""
    index = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=index, active_processes={index}, barrier_sync_key_prefix=f"process-{index}"
    )
