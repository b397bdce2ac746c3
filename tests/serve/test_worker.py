"""The engine's thread: what it is told it does, and what it cannot do it says."""

import contextlib
import queue
import threading

import pytest

from chexjax.engine import Full, Request
from chexjax.serve.worker import Stopped, Worker
from tests.serve.running import Scripted

ASKED = Request(prefix=[5], limit=400)


@contextlib.contextmanager
def started(engine, depth=100):
    worker = Worker(lambda: contextlib.nullcontext(engine), depth)
    worker.start()
    try:
        yield worker
    finally:
        engine.go.set()
        worker.close()


def heard(news):
    """What one row was told, to its end."""
    told = []
    while not told or told[-1].finish is None:
        told.append(news.get(timeout=10)[1])
        if isinstance(told[-1], Exception):
            raise told[-1]
    return told


def test_an_engine_that_cannot_be_made_is_said_where_it_is_started():
    @contextlib.contextmanager
    def making():
        raise ValueError("memory=1 bytes hold nothing")
        yield

    with pytest.raises(ValueError, match="memory=1"):
        Worker(making, 10).start()


def test_the_engine_is_made_and_used_in_one_thread():
    threads = set()
    engine = Scripted(str.upper)
    step = engine.step
    engine.step = lambda: (threads.add(threading.current_thread().name), step())[1]

    @contextlib.contextmanager
    def making():
        threads.add(threading.current_thread().name)
        yield engine

    worker = Worker(making, 10)
    worker.start()
    news = queue.SimpleQueue()
    worker.submit([ASKED], lambda place, one: news.put((place, one)))
    heard(news)
    worker.close()
    assert threads == {"engine"}


def test_requests_are_queued_all_or_none():
    engine = Scripted(str.upper)
    with started(engine, depth=3) as worker:
        engine.go.clear()
        worker.submit([ASKED, ASKED], print)
        with pytest.raises(Full, match="2 of at most 3"):
            worker.submit([ASKED, ASKED], print)
        assert worker.waiting == 2
        worker.submit([ASKED], print)
        assert worker.waiting == 3


def test_what_is_cancelled_is_told_so_and_what_has_ended_may_be_cancelled():
    engine = Scripted(lambda asked: "long " * 50, pause=0.01)
    with started(engine) as worker:
        news = queue.SimpleQueue()
        [number] = worker.submit([ASKED], lambda place, one: news.put((place, one)))
        news.get(timeout=10)
        worker.cancel(number)
        assert heard(news)[-1].finish == "cancelled"
        worker.cancel(number)
        worker.cancel(10**6)
        worker.submit([ASKED], lambda place, one: news.put((place, one)))
        assert heard(news)[-1].finish == "stop"


def test_a_listener_that_is_gone_costs_nobody_else_their_answer():
    def gone(place, news):
        raise RuntimeError("event loop is closed")

    engine = Scripted(str.upper)
    with started(engine) as worker:
        news = queue.SimpleQueue()
        engine.go.clear()
        worker.submit([ASKED] * 3, gone)
        worker.submit([ASKED], lambda place, one: news.put((place, one)))
        engine.go.set()
        assert heard(news)[-1].finish == "stop"
        while worker.running or worker.waiting:
            pass
        assert worker.healthy


def test_after_the_end_everybody_is_told():
    engine = Scripted(lambda asked: "long " * 50, pause=0.01)
    news = queue.SimpleQueue()
    with started(engine) as worker:
        worker.submit([ASKED] * 4, lambda place, one: news.put((place, one)))
        worker.close()
        with pytest.raises(Stopped):
            worker.submit([ASKED], print)
    told = []
    while not news.empty():
        told.append(news.get())
    assert {place for place, one in told if isinstance(one, Stopped)} == {0, 1, 2, 3}
