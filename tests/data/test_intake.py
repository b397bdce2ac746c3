"""Reading a source in other processes changes nothing, and leaves no process behind."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from chexjax.data.image_files import ImageRules
from chexjax.data.images import open_image
from chexjax.data.intake import reader
from chexjax.data.phantom.source import PhantomConfig
from chexjax.data.sources.registry import SourceConfig, open_source

CONFIG = SourceConfig(phantom=PhantomConfig(train=40, validate=0, test=3, size=64))


def test_workers_give_the_studies_of_the_source_in_order():
    source = open_source(CONFIG)
    with reader(CONFIG) as read:
        first, second = list(read(range(0, 20))), list(read(range(20, 43)))
    assert first + second == [source[k] for k in range(43)]


def test_images_are_made_smaller_on_the_way_in():
    small = dataclasses.replace(CONFIG, image=ImageRules(size=32))
    with reader(small) as read:
        [study] = read(range(7, 8))
    assert open_image(study.images[0]).size == (32, 32)
    assert dataclasses.replace(study, images=(b"",)) == dataclasses.replace(
        open_source(CONFIG)[7], images=(b"",)
    )


def test_an_error_of_the_source_comes_through():
    with reader(CONFIG) as read, pytest.raises(IndexError, match="phantom 43"):
        list(read(range(40, 44)))


def test_workers_end_when_their_parent_is_killed():
    script = textwrap.dedent("""
        import multiprocessing, time
        from chexjax.data.intake import reader
        from chexjax.data.sources.registry import SourceConfig
        if __name__ == "__main__":
            with reader(SourceConfig()) as read:
                list(read(range(16)))
                print(*(child.pid for child in multiprocessing.active_children()), flush=True)
                time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_is_running(pid) for pid in workers):
        assert time.monotonic() < deadline, f"{workers} outlived their parent"
        time.sleep(0.1)


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
