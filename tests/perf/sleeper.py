"""A peer that takes a known time; its process imports nothing else."""

import time


def sleeper(seconds):
    """What makes it."""
    return lambda _: time.sleep(seconds)
