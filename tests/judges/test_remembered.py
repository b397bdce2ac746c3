"""Texts are read once, and no more of them are kept than there is room for."""

import pytest

from chexjax.judges import remembered
from chexjax.judges.remembered import Remembered


@pytest.fixture
def lengths():
    """Lengths of texts, and the texts of each reading."""
    calls = []

    def read(texts):
        calls.append(list(texts))
        return map(len, texts)

    return Remembered(read), calls


def test_a_text_is_read_once_wherever_it_comes_again(lengths):
    known, calls = lengths
    assert known(["a", "bb", "a"]) == [1, 2, 1]
    assert known(["ccc", "bb"]) == [3, 2]
    assert known(["a"]) == [1] and known([]) == []
    assert calls == [["a", "bb"], ["ccc"]]


def test_where_there_is_no_more_room_all_is_read_anew(lengths, monkeypatch):
    monkeypatch.setattr(remembered, "_MOST", 3)
    known, calls = lengths
    known(["a", "bb", "ccc"])
    assert known(["a", "dddd"]) == [1, 4]
    assert known(["a", "bb"]) == [1, 2]
    assert calls == [["a", "bb", "ccc"], ["a", "dddd"], ["bb"]]
