import pytest

from chexjax.testing import random_model
from tests.serve.running import FAMILY, running


@pytest.fixture(scope="session")
def model():
    return random_model(FAMILY)


@pytest.fixture(scope="module")
def real(model):
    """A server around the real engine, with a judge's question."""
    with running(model, judge=True) as server:
        yield server
        server.settles(waiting=0, running=0)
