"""Searches over plans whose memory is known."""

import pytest

from chexjax.perf.planning.search import largest, meshes


def tried(memory, cost, refuses=False):
    def plan(rows):
        return None if refuses and cost(rows) > memory else rows

    return [rows for rows, _ in largest(plan, cost, memory)]


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize(
    ("memory", "cost", "expected"),
    [
        (100.0, lambda rows: 10 + 7 * rows, 12),
        (100.0, lambda rows: 93 + 7 * rows, 1),
        (100.0, lambda rows: 50 + rows + 0.5 * rows**2, 9),  # in no line
        (100.0, lambda rows: 60 + 40 * rows, 1),
    ],
)
def test_the_largest_batch_that_fits_is_tried(memory, cost, expected, refuses):
    found = tried(memory, cost, refuses)
    assert max(rows for rows in found if cost(rows) <= memory) == expected
    assert len(found) == len(set(found)) <= 8


def test_where_one_row_does_not_fit_nothing_more_is_tried():
    assert tried(100.0, lambda rows: 200 * rows) == [1]


def test_meshes_are_those_whose_state_fits_and_that_share_the_rows():
    found = meshes(8, rows=4, state=160.0, memory=50.0)
    shapes = [(mesh.data, mesh.fsdp, mesh.tensor) for mesh in found]
    assert shapes == [(2, 2, 2), (1, 4, 2), (2, 1, 4), (1, 2, 4), (1, 1, 8)]  # of 4 at least
    assert meshes(8, rows=4, state=160.0, memory=10.0) == []
