"""What Prometheus is told."""

from __future__ import annotations

import functools

import prometheus_client as prometheus

from chexjax.serve.worker import Worker

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """Counters and gauges of one server.

    Attributes:
      requests: Finished requests by route and status; 499 for a client that left.
      seconds: Time that they took, by route.
      first: Time to the first token of a call.
      tokens_in: Prompt tokens of calls that were answered.
      tokens_out: Tokens that were written for them.
    """

    def __init__(self, worker: Worker) -> None:
        """Watches a worker."""
        self._registry = registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "chexjax_requests", "Finished requests.", ["route", "status"], registry=registry
        )
        self.seconds = prometheus.Histogram(
            "chexjax_request_seconds",
            "Time of a request.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.first = prometheus.Histogram(
            "chexjax_first_token_seconds",
            "Time to a call's first token.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens_in = prometheus.Counter(
            "chexjax_prompt_tokens", "Tokens of prompts.", registry=registry
        )
        self.tokens_out = prometheus.Counter(
            "chexjax_written_tokens", "Tokens of answers.", registry=registry
        )
        gauges = {
            "chexjax_queue_depth": ("Requests of which nothing is written yet.", "waiting"),
            "chexjax_running_rows": ("Rows that are being written.", "running"),
            "chexjax_healthy": ("Whether the engine has not failed.", "healthy"),
        }
        for name, (text, field) in gauges.items():
            gauge = prometheus.Gauge(name, text, registry=registry)
            gauge.set_function(functools.partial(_read, worker, field))

    def count_tokens(self, tokens: tuple[int, int]) -> None:
        """Adds tokens of prompts, and those that were written."""
        self.tokens_in.inc(tokens[0])
        self.tokens_out.inc(tokens[1])

    def page(self) -> bytes:
        """All of it, in the text format."""
        return prometheus.generate_latest(self._registry)


def _read(worker: Worker, field: str) -> float:
    return float(getattr(worker, field))
