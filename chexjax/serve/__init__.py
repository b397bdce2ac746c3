"""HTTP over engine and judges: OpenAI's protocol, judgements, health and metrics (extra `serve`).

    client -> guard (token, drain, log, metrics) -> api -> calls -> worker (the engine's thread)
                                                        -> judging -> worker

What needs the web server's packages is not imported here: a config does not.
"""

from __future__ import annotations

from chexjax.serve.config import Limits, ServeConfig

__all__ = ["Limits", "ServeConfig"]
