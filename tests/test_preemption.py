import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from chexjax.artefacts import begin
from chexjax.artefacts.share import Share
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.preemption import Agreement, Preempted, check, listening
from chexjax.rows import Unit, map_units


def told():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_notice_is_heeded_where_it_is_asked_about():
    before = signal.getsignal(signal.SIGTERM)
    with listening():
        check("nothing has been said")
        told()
        with pytest.raises(Preempted, match="asked to stop: halfway"):
            check("halfway")
    assert signal.getsignal(signal.SIGTERM) == before
    check("it is forgotten")


def test_a_second_notice_ends_the_process_at_once():
    script = (
        "import os, signal; from chexjax.preemption import listening\n"
        "with listening():\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('heeded', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('not reached', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "heeded\n")


def test_other_threads_do_not_listen():
    def enter():
        with listening():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_units_are_not_begun_behind_a_notice_and_are_made_when_it_goes_on(tmp_path):
    def work(unit):
        made.append(unit)
        if len(made) == 2:
            told()
        return Unit([{"unit": unit}])

    def fill():
        options = {"content": {}, "config": {}, "inputs": {}}
        draft = begin(tmp_path / "rows", "rows", **options)
        return map_units(draft, 4, work, describe="count", progress=False)

    made = []
    with listening(), pytest.raises(Preempted, match="asked to stop: count, before unit 2"):
        fill()
    assert [row["unit"] for row in fill().rows()] == [0, 1, 2, 3] == made


def test_who_waits_for_others_stops_waiting():
    with listening():
        told()
        with pytest.raises(Preempted, match="waiting for the others"):
            Share(index=1, of=2).wait(lambda: False, "the others")


def test_processes_together_hear_one_step_later_and_one_alone_at_once():
    alone, together = (Agreement(make_mesh(MeshConfig()), together=t) for t in (False, True))
    assert not alone.reached() and not together.reached()
    with listening():
        told()
        time.sleep(0.01)
        assert alone.reached()
        assert [together.reached() for _ in range(2)] == [False, True]
