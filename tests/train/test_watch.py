import subprocess
import sys
import time

import pytest

from chexjax.train import Watch, WatchConfig

HANGS = """
import time
from pathlib import Path
from chexjax.train import Watch, WatchConfig

def stuck():
    time.sleep(60)

config = WatchConfig(hang_minutes=0.005, on_hang="end")
watch = Watch(config=config, board=Path("b"), traces=Path("t"), name="n")
with watch.steps() as steps:
    for number in range(1, {steps}):
        with steps.step(number):
            pass
    with steps.step({steps}):
        stuck()
"""


def watch(tmp_path, **options):
    config = WatchConfig(**options)
    return Watch(config=config, board=tmp_path / "b", traces=tmp_path / "t", name="n")


@pytest.mark.parametrize(("steps", "code"), [(1, 1), (3, 75)])
def test_a_step_that_hangs_is_shown_and_may_end_the_process(steps, code):
    """By the code by which launchers start it again, if that has a chance."""
    command = [sys.executable, "-c", HANGS.format(steps=steps)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == code
    assert "a step takes too long" in done.stderr and "in stuck" in done.stderr


def test_a_process_whose_interpreter_is_stuck_is_ended_all_the_same():
    """`PyDLL` holds the lock that all Python waits for, as a broken extension would."""
    stuck = "import ctypes; ctypes.PyDLL(None).sleep(50)"
    script = HANGS.format(steps=3).replace("time.sleep(60)", stuck)
    script = script.replace("config =", "watching._SECONDS_FOR_PYTHON = 0.5\nconfig =")
    script = "import chexjax.train.watch as watching\n" + script
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=45)
    assert done.returncode == 1 and b"Timeout (0:00:00.800000)!" in done.stderr


def test_a_run_that_goes_on_shows_nothing(tmp_path, capfd):
    with watch(tmp_path, hang_minutes=0.01).steps() as steps:
        for number in range(1, 4):
            with steps.step(number):
                time.sleep(0.3)
    time.sleep(0.8)
    assert "Timeout" not in capfd.readouterr().err


@pytest.mark.parametrize("profile", [(1,), (0, 2), (3, 2), (1, 2, 3)])
def test_steps_that_are_no_range_are_refused(profile):
    with pytest.raises(ValueError, match="must be a first and a last step, from 1 on"):
        WatchConfig(profile=profile)


def test_a_time_before_nothing_is_refused():
    with pytest.raises(ValueError, match="hang_minutes=-1"):
        WatchConfig(hang_minutes=-1)
