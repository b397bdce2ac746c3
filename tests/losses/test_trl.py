"""Values and gradients are those of TRL 0.12.2 (stored; see `tests/manual/trl_losses.py`)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chexjax.losses import Mismatched, Responses, build

STORED = json.loads((Path(__file__).parent / "trl.json").read_text())
ARRAYS = {name: np.asarray(array, np.float32) for name, array in STORED["inputs"].items()}


def responses(logps):
    pairs, _, tokens = logps.shape
    return Responses(
        logps=logps,
        ref_logps=jnp.asarray(ARRAYS["ref_logps"]),
        mask=jnp.asarray(np.arange(tokens) < ARRAYS["lengths"][..., None]),
        valid=jnp.ones(pairs, bool),
        rewards=jnp.zeros((pairs, 2)),
        mismatched=Mismatched(
            logps=jnp.asarray(ARRAYS["mismatched"]),
            ref_logps=jnp.asarray(ARRAYS["ref_mismatched"]),
            valid=jnp.ones(pairs, bool),
        ),
    )


@pytest.mark.parametrize("name", STORED["cases"])
def test_values_and_gradients_are_those_of_trl(name):
    case = STORED["cases"][name]
    loss = build(case["loss"], case["options"])

    def total(logps):
        rows = loss(responses(logps))
        return rows.value.sum(), rows

    gradient, rows = jax.grad(total, has_aux=True)(jnp.asarray(ARRAYS["logps"]))
    np.testing.assert_allclose(rows.value, case["values"], rtol=1e-5)
    np.testing.assert_allclose(gradient, case["gradient"], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(rows.weight, np.ones(5))
