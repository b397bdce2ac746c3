"""The command line: `chexjax STAGE --config=FILE.py[:args] --workdir=DIR`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from chexjax import malloc


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    What a user can mend (a config, a folder, an input) is said in one message without a stack
    trace, with exit code 2. A run that was asked to stop and goes on when run again ends with 75.
    """
    malloc.keep_freed()
    _enable_compilation_cache()
    from chexjax.artefacts import ArtefactError
    from chexjax.checkpoint import CheckpointError
    from chexjax.config import ConfigError
    from chexjax.distributed import in_job, join, leave
    from chexjax.judges import JudgeError
    from chexjax.preemption import EXIT_CODE, Preempted, listening
    from chexjax.stages.run import execute
    from chexjax.train import NonFiniteRun

    try:
        join()
        with listening():
            execute(sys.argv[1:] if argv is None else argv)
    except (ConfigError, ArtefactError, JudgeError, NonFiniteRun, CheckpointError) as error:
        print(f"chexjax: {error}", file=sys.stderr)
        return leave(2)
    except Preempted as notice:
        print(f"chexjax: {notice}; the same command goes on from there", file=sys.stderr)
        return EXIT_CODE
    except Exception:
        if not in_job():
            raise
        traceback.print_exc()
        return leave(1)
    return 0


def _enable_compilation_cache() -> None:
    """Keeps compiled programs between runs, in JAX's persistent cache; the variable wins."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home / "chexjax" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


if __name__ == "__main__":
    sys.exit(main())
