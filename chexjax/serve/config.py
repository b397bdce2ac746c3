"""What is served, to whom, and how much of it."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from typing import Literal

from chexjax.engine import EngineConfig
from chexjax.mesh import MeshConfig

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a client may ask for.

    Attributes:
      body: Bytes of a request.
      tokens: Most tokens of an answer; also what a chat gets that asks for no number.
      choices: Answers of one call: prompts times `n`.
      pairs: Pairs of reports of one call to `/v1/judge`.
      judging: Calls to `/v1/judge` at once; more are told to come back.
      timeout: Seconds that a call may take.
      grace: Seconds that running calls are given when the server is told to stop.
    """

    body: int = 4 * 2**20
    tokens: int = 1024
    choices: int = 64
    pairs: int = 256
    judging: int = 8
    timeout: float = 300.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        """Checks ranges."""
        for name, value in dataclasses.asdict(self).items():
            if value <= 0:
                raise ValueError(f"limits.{name}={value} must be above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """A server.

    Attributes:
      model: Folder with `config.json`, safetensors and tokenizer, as `export` writes it; the judge
        that comes with chexjax where it is empty.
      preset: Of the model; empty where the folder's `judge.json` names it.
      name: What clients call the model; the folder's name where it is empty.
      question: What `/v1/judge` asks the model: a file with `{reference}` and `{candidate}`, or
        "official" for GREEN's own (extra `green`). Where it is empty, the folder's `question.txt`;
        without that there is no `/v1/judge`.
      unreadable: What a pair gets whose answers cannot be read; see `judges.GreenConfig`.
      host: Address to listen on. Any but this machine's own needs a token.
      port: 0 for any that is free.
      token: Environment variable with the bearer token that clients have to show.
      compute_dtype: `float32`, `bfloat16`, or `auto`: bfloat16 where there is an accelerator.
      int8: Keep the weights of linear layers as int8.
      engine: How requests are batched; `depth` is the queue's.
      warm: Tokens of usual prompts and answers, whose programs are compiled before anybody can
        connect: for any prompt up to that length that takes, with its answer, the same room (64,
        96, 128, 192, 256, ... tokens). A judge's prompts are counted behind what all its questions
        begin with, a policy's with its images. Answers are cut to the context. Several rows of one
        call (`n`, or candidates about one reference) are other programs, compiled when they come.
      limits: How much a client may ask for.
      mesh: Devices.
      log_text: Write prompts and answers, which are patients' reports, to the log.
    """

    model: str = ""
    preset: str = ""
    name: str = ""
    question: str = ""
    unreadable: Literal["exclude", "published"] = "exclude"
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = "CHEXJAX_SERVE_TOKEN"
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    int8: bool = False
    engine: EngineConfig = EngineConfig(depth=256, memory=4 * _GIB, chunks=4)
    warm: tuple[tuple[int, int], ...] = ((256, 256),)
    limits: Limits = Limits()
    mesh: MeshConfig = MeshConfig()
    log_text: bool = False

    def __post_init__(self) -> None:
        """Checks the port and the lengths."""
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port={self.port} is not from 0 to 65535")
        if any(length < 1 for each in self.warm for length in each):
            raise ValueError(f"warm={self.warm}: prompts and answers have 1 token or more")

    def secret(self) -> str:
        """The bearer token; empty where none is asked for.

        Raises:
          ValueError: there is none, and others than this machine could connect.
        """
        secret = os.environ.get(self.token, "") if self.token else ""
        if not secret and not _is_loopback(self.host):
            raise ValueError(
                f"host={self.host!r} lets other machines in, who could then read and write at "
                f"will: put a bearer token into the environment variable {self.token!r}, or set "
                "host to 127.0.0.1"
            )
        return secret


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
