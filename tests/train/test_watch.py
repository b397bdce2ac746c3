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
with watch.steps() as steps, steps.step(1):
    stuck()
"""


def watch(tmp_path, **options):
    config = WatchConfig(**options)
    return Watch(config=config, board=tmp_path / "b", traces=tmp_path / "t", name="n")


def test_a_step_that_hangs_is_shown_and_may_end_the_process():
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert "Timeout (0:00:00.300000)!" in done.stderr and "in stuck" in done.stderr


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
