"""The process: a model read, an engine started, a socket, and a quiet end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import jax
import jax.numpy as jnp
import uvicorn

from chexjax.engine import Engine
from chexjax.families import TextFamily, preset
from chexjax.judges.prompt import official_prompt, read_prompt
from chexjax.judges.trained import JUDGE_FILE, QUESTION_FILE, shipped, told
from chexjax.mesh import make_mesh
from chexjax.models import quantize_int8
from chexjax.serve.api import Service
from chexjax.serve.config import ServeConfig
from chexjax.serve.judging import Rubric, preamble
from chexjax.serve.model import Served
from chexjax.serve.warm import warm_requests, warm_up
from chexjax.serve.worker import Worker
from chexjax.weights import check_model, load_model

_log = logging.getLogger(__name__)
_OFFICIAL = "official"
_GOODBYE = 2  # seconds for connections to end when all calls have


def read_served(config: ServeConfig) -> tuple[Served, Rubric | None]:
    """Everything of the model but its weights, which are only looked at.

    Raises:
      ValueError: a file is missing or is not the preset's; names the field.
    """
    config.secret()
    folder = Path(config.model) if config.model else shipped()
    if not folder.is_dir():
        raise ValueError(
            f"model={config.model!r} is no folder: give one with config.json, safetensors and "
            "tokenizer, as `chexjax export` writes it"
        )
    name, limit = config.preset, config.limits.tokens
    if (folder / JUDGE_FILE).is_file():
        own, limit = told(folder)
        name = name or own
    if not name:
        raise ValueError(
            f"preset='': {folder} has no {JUDGE_FILE}; set it to the preset that the model "
            "belongs to"
        )
    family = preset(name, TextFamily)
    check_model(folder, family)
    served = Served.load(folder, config.name or folder.resolve().name, family)
    rubric = _rubric(config, folder, limit)
    if rubric is not None:
        start = preamble(served, rubric.prompt)
        served = dataclasses.replace(served, preamble=tuple(start))
    warm_requests(config, served)  # an impossible one is named before the weights are read
    return served, rubric


def _rubric(config: ServeConfig, folder: Path, limit: int) -> Rubric | None:
    if config.question == _OFFICIAL:
        return Rubric(official_prompt(), limit)
    if config.question:
        return Rubric(read_prompt(Path(config.question)), limit)
    own = folder / QUESTION_FILE
    return Rubric(read_prompt(own), limit) if own.is_file() else None


def load_worker(config: ServeConfig, served: Served) -> Worker:
    """Reads the weights, starts the engine and compiles what it usually needs.

    Raises:
      ValueError: mesh, memory or weights do not fit together.
    """
    mesh = make_mesh(config.mesh)
    name = config.compute_dtype
    if name == "auto":
        name = "float32" if mesh.devices.flat[0].platform == "cpu" else "bfloat16"
    folder = Path(config.model) if config.model else shipped()
    dtype = jnp.dtype(name)
    model = load_model(folder, served.family, mesh=mesh, param_dtype=dtype, dtype=dtype)
    if config.int8:
        quantize_int8(model)

    @contextlib.contextmanager
    def engine() -> Iterator[Engine]:
        with jax.set_mesh(mesh):  # a thread's own
            made, began = Engine(model, config.engine, served.preamble), time.monotonic()
            warm_up(made, warm_requests(config, served))
            _log.info("warm-up: %.1f s for warm=%s", time.monotonic() - began, config.warm)
            yield made

    worker = Worker(engine, config.engine.depth)
    worker.start()
    return worker


class Server(uvicorn.Server):
    """Uvicorn, but for the signals: the first one lets running calls finish, the second does not.

    It ends with exit code 0 either way.
    """

    def __init__(self, config: ServeConfig, service: Service, worker: Worker) -> None:
        """Listens to nothing yet."""
        self._service, self._worker, self._grace = service, worker, config.limits.grace
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                service.app(),
                log_config=None,
                access_log=False,  # the guard writes its own lines, without what stands behind `?`
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GOODBYE,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        if self._service.door.closing.is_set():
            self.should_exit = self.force_exit = True
        self.drain()

    def drain(self) -> None:
        """Begins to stop; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.door.closing.set)

    async def listen(self, listener: socket.socket) -> None:
        """Serves until it is told to stop."""
        self._loop = asyncio.get_running_loop()
        draining = asyncio.create_task(self._drain())
        try:
            await self.serve(sockets=[listener])
        finally:
            draining.cancel()
            await asyncio.to_thread(self._worker.close)

    async def _drain(self) -> None:
        """Waits for the end of what runs, and ends it where that takes too long."""
        door = self._service.door
        await door.closing.wait()
        _log.info("stopping: %d requests may finish within %g s", door.inside, self._grace)
        try:
            async with asyncio.timeout(self._grace):
                await door.empty()
        except TimeoutError:
            _log.warning("stopping: %d requests have not finished", door.inside)
            await asyncio.to_thread(self._worker.close)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await door.empty()
        self.should_exit = True


def bind(config: ServeConfig) -> socket.socket:
    """The socket to serve at; nobody can connect yet.

    Raises:
      ValueError: it is taken, or there is no such address.
    """
    found = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((config.host, config.port))
    except OSError as error:
        found.close()
        raise ValueError(f"{config.host}:{config.port} cannot be listened at: {error}") from error
    return found


def run(config: ServeConfig, say: Callable[[str], None]) -> None:
    """Serves a model until the process is told to stop.

    Raises:
      ValueError: the config cannot be used.
    """
    served, rubric = read_served(config)
    listener = bind(config)  # before the weights are read, which takes a while
    with contextlib.closing(listener):
        worker = load_worker(config, served)
        service = Service(config, served, worker, rubric)
        host, port = listener.getsockname()[:2]
        where = f"[{host}]" if ":" in host else host
        say(f"serving {served.name} at http://{where}:{port}/v1")
        server = Server(config, service, worker)
        asyncio.run(server.listen(listener))
