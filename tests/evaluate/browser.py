"""A headless Chromium that tests drive through its debugging pipe; no further package is needed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
needs_browser = pytest.mark.skipif(not PROGRAM, reason="needs Chromium (apt-get install chromium)")


class Tab:
    """One page in front of a user."""

    def __init__(self, call: Callable[..., dict[str, Any]]) -> None:
        self._call = call

    def open(self, file: Path) -> None:
        """Loads a file and waits until its script has run."""
        self._call("Page.navigate", url=file.as_uri())
        time.sleep(0.2)
        self.until(f"document.readyState === 'complete' && location.href === {file.as_uri()!r}")

    def run(self, script: str) -> Any:
        """Value of an expression in the page."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 20) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"{script} did not come true"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """One key, down and up."""
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Text at the cursor."""
        self._call("Input.insertText", text=text)

    def shot(self, file: Path, width: int = 1280, height: int = 900) -> None:
        """A picture of the page, for people."""
        import base64

        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """Starts a browser whose profile and downloads are in `folder`; ends it afterwards."""
    (theirs, ours), (back, forth) = os.pipe(), os.pipe()
    # Chromium reads commands from 3 and writes answers to 4.
    flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe"
    shell = f"exec {PROGRAM} {flags} --user-data-dir={folder}/profile 3<&{theirs} 4>&{forth}"
    process = subprocess.Popen(
        ["bash", "-c", shell], pass_fds=(theirs, forth), stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    os.close(forth)
    numbers = itertools.count(1)
    with open(ours, "wb") as out, open(back, "rb") as into:

        def send(method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
            number = next(numbers)
            to = {"sessionId": session} if session else {}
            message = {"id": number, "method": method, "params": parameters, **to}
            out.write(json.dumps(message).encode() + b"\0")
            out.flush()
            while True:
                answer = json.loads(b"".join(iter(lambda: into.read(1), b"\0")))
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    return dict(answer["result"])

        target = send("Target.createTarget", url="about:blank")["targetId"]
        session = send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        downloads = {"behavior": "allow", "downloadPath": str(folder)}
        send("Browser.setDownloadBehavior", **downloads)
        tab = Tab(lambda method, **parameters: send(method, session, **parameters))
        tab._call("Emulation.setFocusEmulationEnabled", enabled=True)
        try:
            yield tab
        finally:
            with contextlib.suppress(Exception):
                send("Browser.close")
            process.wait(timeout=20)
