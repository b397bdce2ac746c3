"""Small random policies, batches and responses, and comparison with a tolerance.

Shipped with the package, because users test their own losses, objectives and families with it.
"""

from __future__ import annotations

from chexjax.testing.compare import assert_close
from chexjax.testing.policies import random_model, random_policy
from chexjax.testing.rows import packed, random_batch, random_responses

__all__ = [
    "assert_close",
    "packed",
    "random_batch",
    "random_model",
    "random_policy",
    "random_responses",
]
