"""Where a run works: the folder that it names, or the staging folder of a bucket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jax.experimental import multihost_utils

from chexjax.artefacts import staged
from chexjax.artefacts.bucket import SCHEMES, Bucket
from chexjax.artefacts.manifest import ArtefactError
from chexjax.artefacts.mirror import BOOKS, PROBE, Mirror
from chexjax.artefacts.share import Share
from chexjax.config import ConfigError
from chexjax.distributed import anywhere, in_job, is_first, meet

_STAGING = "CHEXJAX_STAGING"


@contextlib.contextmanager
def opened(place: str, share: Share) -> Iterator[Path]:
    """The folder to work in; where `place` is a bucket's URL, all that is done there goes up.

    The staging folder lies below `CHEXJAX_STAGING`, or else the user's cache. Processes of one job
    have one in common, which the first keeps; those that only share a workdir have one each.

    Raises:
      ArtefactError: the bucket does not answer, or has not got all at the end.
      ConfigError: processes of a job do not see the same staging folder.
    """
    if not place.startswith(SCHEMES):
        yield Path(place)
        return
    root = _staging(place, share)
    if not is_first():
        _check_common(root)
        meet(f"{place} is fetched")
        yield root
        return
    mirror = _open(place, root)
    try:
        yield root
    except BaseException:
        with _said():
            mirror.close()
        raise
    else:
        mirror.close()
    finally:
        staged.KEEPERS.remove(mirror)


def _open(place: str, root: Path) -> Mirror:
    root.mkdir(parents=True, exist_ok=True)
    print(f"{place} is worked on in {root}", flush=True)
    bucket = Bucket(place)
    bucket.put(PROBE, b"a workdir of chexjax")  # who may not write is to know it before any work
    if in_job():
        _check_common(root)
    mirror = Mirror(bucket, root)
    if in_job():
        mirror.fetch_all()
        meet(f"{place} is fetched")
    staged.KEEPERS.append(mirror)
    return mirror


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Says what goes wrong where something worse is under way."""
    try:
        yield
    except ArtefactError as error:
        print(f"warning: {error}", file=sys.stderr, flush=True)


def _staging(place: str, share: Share) -> Path:
    """The folder for a URL: by its digest, since it may be longer than names may be."""
    home = os.environ.get(_STAGING)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chexjax" / "staging"
    name = hashlib.sha256(place.rstrip("/").encode()).hexdigest()[:16]
    several = f"-{share.index}-of-{share.of}" if share.of > 1 and not in_job() else ""
    return (Path(home) if home else cache).absolute() / f"{name}{several}"


def _check_common(root: Path) -> None:
    """Finds out whether all processes of the job see one folder, by a number that one writes there.

    Raises:
      ConfigError: one does not, in all of them.
    """
    file = root / BOOKS / "job"
    drawn = np.frombuffer(os.urandom(4), np.uint32)[0]
    number = str(int(multihost_utils.broadcast_one_to_all(drawn)))
    if is_first():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(number)
    meet("a number is written into the staging folder")
    alike = file.is_file() and file.read_text() == number
    if anywhere(not alike):
        raise ConfigError(
            f"--workdir is a bucket, and the processes of this job do not all see {root}, where it "
            f"is worked on: set {_STAGING} to a folder on a disk that all see, or give them a "
            "--workdir on one, such as the bucket mounted there"
        )
