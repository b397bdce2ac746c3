"""A server that speaks as much of OpenAI's protocol as a client of a judge asks for."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chexjax.judges import PhantomOracle
from chexjax.judges.answer import write_judgement

QUESTION = "Compare.\n<r>{reference}</r>\n<c>{candidate}</c>"

Answering = Callable[[str, dict[str, Any]], Any]
"""(path, request) to the text of an answer, or to (status, headers, body) as it is."""


class Served:
    """What was asked of a running server."""

    def __init__(self, answer: Answering) -> None:
        self.answer, self.requests = answer, []
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.url = ""


@contextmanager
def serve(answer: Answering):
    """Runs a server on loopback for as long as the context lasts."""
    served = Served(answer)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):  # noqa: N802
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                served.requests.append((self.path, request, self.headers["Authorization"]))
                served.busy += 1
                served.busiest = max(served.busiest, served.busy)
            try:
                given = served.answer(self.path, request)
            finally:
                with served.lock:
                    served.busy -= 1
            self._respond(given)

        def _respond(self, given):
            status, headers, body = (
                given if isinstance(given, tuple) else (200, {}, completion(given))
            )
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def completion(text: str) -> dict[str, Any]:
    """A body for either of the two endpoints: 100 tokens of a question, 10 of an answer."""
    choice = {"index": 0, "finish_reason": "stop", "text": text}
    choice["message"] = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    base = {"id": "1", "object": "chat.completion", "created": int(time.time()), "model": "m"}
    return {**base, "choices": [choice], "usage": usage}


def oracle(path, request):
    """The oracle's verdict on the reports in a question, as GREEN would write it."""
    text = request["prompt"] if path.endswith("/completions") and "prompt" in request else ""
    text = text or request["messages"][0]["content"]
    reference, candidate = re.search(r"<r>(.*)</r>\n<c>(.*)</c>", text, re.DOTALL).groups()
    return write_judgement(PhantomOracle().judge([reference], [candidate])[0], "Because.")
