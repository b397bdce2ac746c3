import pytest

from chexjax.testing import random_model
from tests.serve.running import FAMILY, running


@pytest.fixture(scope="session")
def model():
    return random_model(FAMILY)


@pytest.fixture(scope="session")
def real(model):
    """A server around the real engine, with a judge's question, for all tests that can share it."""
    with running(model, judge=24) as server:
        yield server
        server.settles(waiting=0, running=0)
        assert server.service.door.inside == 0
