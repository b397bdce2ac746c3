"""Objects of a bucket below a URL: the library obstore behind one door.

Credentials come from where the clouds' own tools have them: the environment (`AWS_ACCESS_KEY_ID`,
`GOOGLE_APPLICATION_CREDENTIALS` and their like) or the role of the machine. `AWS_ENDPOINT_URL`
names a server that speaks S3 and is not Amazon's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.artefacts.files import commit
from chexjax.artefacts.manifest import ArtefactError

SCHEMES = ("s3://", "gs://")

_REFUSALS = ("PermissionError", "PermissionDeniedError", "UnauthenticatedError")
_DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
_NO_CREDENTIALS = ("169.254.", "metadata", "credential", "token request")
_RETRIES = {"max_retries": 6}


@dataclasses.dataclass(frozen=True)
class Entry:
    """An object: its size in bytes, and when it was written, in seconds since 1970."""

    size: int
    written: float


class Bucket:
    """What lies below a URL, such as `s3://bucket/runs/a`, by paths relative to it."""

    def __init__(self, url: str) -> None:
        """Opens the URL, and asks nobody yet.

        Raises:
          ArtefactError: obstore is not installed, or the URL names no bucket.
        """
        self.url = url.rstrip("/")
        try:
            import obstore
            from obstore.store import from_url
        except ImportError:
            raise ArtefactError(
                f"{url}: a bucket needs the package obstore: pip install 'chexjax[cloud]', or "
                "CHEXJAX_EXTRAS=cloud launch/local install"
            ) from None
        self._errors = (obstore.exceptions.BaseError, OSError)
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        plain = url.startswith("s3://") and endpoint.startswith("http://")
        options: dict[str, Any] = {"client_options": {"allow_http": True}} if plain else {}
        with self._explained("open"):
            self._store: Any = from_url(self.url, retry_config=_RETRIES, **options)

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """All objects in a folder and below it, by path."""
        found: dict[str, Entry] = {}
        with self._explained("list"):
            for chunk in self._store.list(folder or None):
                found |= _entries(chunk)
        return found

    def top(self) -> tuple[dict[str, Entry], list[str]]:
        """The objects that lie in no folder, and the names of the folders."""
        with self._explained("list"):
            found = self._store.list_with_delimiter()
        return _entries(found["objects"]), [one.rstrip("/") for one in found["common_prefixes"]]

    def read(self, path: str) -> bytes | None:
        """An object whole; None where there is none."""
        with self._explained("read"):
            try:
                return bytes(self._store.get(path).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def fetch(self, path: str, file: Path) -> bool:
        """Brings an object into a file, which appears whole or not at all.

        Returns:
          Whether it is there; others may have deleted the object.
        """
        with self._explained("read"):
            try:
                found = self._store.get(path)
            except FileNotFoundError:
                return False
            file.parent.mkdir(parents=True, exist_ok=True)
            tmp = file.with_name(file.name + ".tmp")
            with open(tmp, "wb") as out:
                for chunk in found.stream():
                    out.write(chunk)
        commit(tmp, file)
        return True

    def put(self, path: str, data: bytes | Path) -> bool:
        """Writes an object, which others see whole or not at all; a large file goes in parts.

        Returns:
          Whether it is there; a file may have gone in the meantime.
        """
        with self._explained("write"):
            try:
                self._store.put(path, data)
            except self._errors:
                if isinstance(data, Path) and not data.exists():
                    return False
                raise
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Removes objects that are there."""
        if paths:
            with self._explained("write"):
                self._store.delete(list(paths))

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        """Turns an error of the library into one that says what to do."""
        try:
            yield
        except self._errors as error:
            raise ArtefactError(f"cannot {verb} {self.url}: {_reason(error)}") from error


def _entries(found: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    return {one["path"]: Entry(one["size"], one["last_modified"].timestamp()) for one in found}


def _reason(error: Exception) -> str:
    """Why a bucket would not answer, and what to do about it."""
    text = str(error)
    if "NoSuchBucket" in text or "bucket does not exist" in text:
        return "there is no such bucket; make it, or mend the --workdir"
    if type(error).__name__ in _REFUSALS or any(code in text for code in _DENIED):
        return (
            "access is denied; the key or role of this process needs the right to list, read, "
            "write and delete there"
        )
    if any(word in text for word in _NO_CREDENTIALS):
        return (
            "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "GOOGLE_APPLICATION_CREDENTIALS, or run on a machine with a role"
        )
    brief = re.split(r"\n|Debug source", text)[0].strip()
    return f"{brief[:300]}; run again when it answers, the run goes on where it was"
