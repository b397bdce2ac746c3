"""Programs of eight devices on data=2 x fsdp=2 x tensor=2, written down as XLA prints them."""

import numpy as np
import pytest
from jax.sharding import Mesh

from chexjax.perf.planning.collectives import Collective, collectives
from chexjax.perf.planning.hlo import Module

TEXT = """
HloModule step, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (state: (s32[], f32[8,64])) -> (s32[], f32[8,64]) {
  %state = (s32[], f32[8,64]{1,0}) parameter(0)
  %x = f32[8,64]{1,0} get-tuple-element(%state), index=1
  %whole = bf16[16,64]{1,0} all-gather(%x), replica_groups=[4,2]<=[2,2,2]T(0,2,1), dimensions={0}
  ROOT %next = (s32[], f32[8,64]{1,0}) tuple(%x, %x)
}

ENTRY %main (p: f32[8,64]) -> f32[8,64] {
  %p = f32[8,64]{1,0} parameter(0)
  %loop = (s32[], f32[8,64]{1,0}) while(%p), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %start = (f32[8,64]{1,0}, f32[16,64]{1,0}) all-gather-start(%p), replica_groups={{0,1},{2,3},{4,5},{6,7}}, dimensions={0}
  %done = f32[16,64]{1,0} all-gather-done(%start)
  %grad = (f32[100]{0}, bf16[10]{0}) all-reduce(%p, %p), replica_groups=[1,8]<=[8], to_apply=%add
  %part = f32[4,64]{1,0} reduce-scatter(%p), replica_groups={{0,4},{1,5},{2,6},{3,7}}, dimensions={0}, to_apply=%add
  %turned = f32[8,64]{1,0} collective-permute(%p), source_target_pairs={{0,2},{2,0},{1,3},{3,1}}
  %sent = (bf16[30]{0:T(256)(128)(2,1)}, bf16[30]{0:T(256)(128)(2,1)S(1)}, u32[], u32[]) collective-permute-start(%p), source_target_pairs={{0,1},{1,0}}
  %alone = f32[8,64]{1,0} all-reduce(%p), replica_groups={{0},{1},{2},{3},{4},{5},{6},{7}}, to_apply=%add
  %name = f32[8,64]{1,0} ragged-all-to-all(%p), metadata={op_name="all-to-all"}
  ROOT %out = f32[8,64]{1,0} copy(%p)
}
"""  # noqa: E501


@pytest.fixture
def mesh():
    return Mesh(np.arange(8).reshape(2, 2, 2), ("data", "fsdp", "tensor"))


def test_each_is_counted_by_hand(mesh):
    """Bytes that a device sends on a ring: (n - 1) / n of what is gathered, twice of a sum."""

    def one(kind, axes, size, times, moved, asynchronous=False):
        return Collective(
            kind=kind, axes=axes, size=size, times=times, moved=moved, asynchronous=asynchronous
        )

    assert collectives(Module(TEXT), mesh) == [
        one("all-gather", ("fsdp",), 2, 5, 5 * 2 * 16 * 64 / 2),
        one("all-gather", ("tensor",), 2, 1, 4 * 16 * 64 / 2, asynchronous=True),
        one("collective-permute", ("fsdp",), 2, 1, 4.0 * 8 * 64),
        one("reduce-scatter", ("data",), 2, 1, 2 * 4 * 4 * 64 / 2),
        one("all-reduce", ("data", "fsdp", "tensor"), 8, 1, 2 * 420 * 7 / 8),
        one("collective-permute", ("tensor",), 2, 1, 60.0, asynchronous=True),
    ]


def test_a_loop_whose_length_is_not_known_counts_once(mesh):
    text = TEXT.replace('"known_trip_count":{"n":"5"}', "")
    found = collectives(Module(text), mesh)
    [gathered, *_] = [one for one in found if one.axes == ("fsdp",)]
    assert {one.times for one in found} == {1} and gathered.size == 2


@pytest.mark.parametrize(
    ("groups", "axes"),
    [
        ("mesh['axis_0'=2,'axis_1'=2,'axis_2'=2] {'axis_1'}", ("fsdp",)),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_0'}", ("data", "fsdp")),
        ("mesh['axis_0'=1,'axis_1'=4,'axis_2'=2], device_ids=([2,2,2]T(0,2,1)) {'axis_1'}", None),
        ("mesh['a'=2,'b'=2,'c'=2], device_ids=([2,2,2]T(2,1,0)) {'a'}", ("tensor",)),
        ("mesh['a'=2,'b'=2,'c'=2], device_ids=([2,2,2]T(2,1,0)) {'b','c'}", ("data", "fsdp")),
    ],
)
def test_groups_are_read_along_the_axes_of_a_mesh_of_xla_s_own(groups, axes, mesh):
    """`([2,2,2]T(0,2,1))` puts tensor before fsdp: four in a row lie along both."""
    text = TEXT.replace("replica_groups=[1,8]<=[8]", f"replica_groups={groups}")
    [summed] = [one for one in collectives(Module(text), mesh) if one.kind == "all-reduce"]
    assert summed.axes == (axes or ("data", "tensor"))


PIECES = """
HloModule step, num_partitions=8

%start (p: f32[8,64]) -> (f32[8,64], f32[16,64], u32[]) {
  %p = f32[8,64]{1,0} parameter(0)
  %whole = f32[16,64]{1,0} all-gather(%p), channel_id=7, replica_groups={{0,1},{2,3},{4,5},{6,7}}, dimensions={0}
  ROOT %begun = (f32[8,64]{1,0}, f32[16,64]{1,0}, u32[]{:S(2)}) custom-call(%whole), custom_call_target="AsyncCollectiveStart"
}

%between (p: f32[8,64], w: f32[16,64], x: f32[8,8]) -> (f32[8,8], f32[8,64], f32[16,64]) {
  %p = f32[8,64]{1,0} parameter(0)
  %w = f32[16,64]{1,0} parameter(1)
  %x = f32[8,8]{1,0} parameter(2)
  %whole = f32[16,64]{1,0} all-gather(%p), channel_id=7, replica_groups={{0,1},{2,3},{4,5},{6,7}}, dimensions={0}
  %product = f32[8,8]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %both = (f32[8,8]{1,0}, f32[8,64]{1,0}, f32[16,64]{1,0}) tuple(%product, %p, %w)
}

%end (p: f32[8,64], w: f32[16,64]) -> f32[16,64] {
  %p = f32[8,64]{1,0} parameter(0)
  %w = f32[16,64]{1,0} parameter(1)
  %whole = f32[16,64]{1,0} all-gather(%p), channel_id=7, replica_groups={{0,1},{2,3},{4,5},{6,7}}, dimensions={0}
  ROOT %done = f32[16,64]{1,0} custom-call(%p, %w, %whole), custom_call_target="AsyncCollectiveDone"
}

ENTRY %main (p: f32[8,64], x: f32[8,8]) -> f32[16,64] {
  %p = f32[8,64]{1,0} parameter(0)
  %x = f32[8,8]{1,0} parameter(1)
  %begun = (f32[8,64]{1,0}, f32[16,64]{1,0}, u32[]{:S(2)}) fusion(%p), kind=kCustom, calls=%start
  %part = f32[8,64]{1,0} get-tuple-element(%begun), index=0
  %whole = f32[16,64]{1,0} get-tuple-element(%begun), index=1
  %step = (f32[8,8]{1,0}, f32[8,64]{1,0}, f32[16,64]{1,0}) fusion(%part, %whole, %x), kind=kOutput, calls=%between
  ROOT %done = f32[16,64]{1,0} fusion(%part, %whole), kind=kCustom, calls=%end
}
"""  # noqa: E501


def test_pieces_of_one_that_other_kernels_do_count_once_and_as_hidden(mesh):
    [found] = collectives(Module(PIECES), mesh)
    assert (found.kind, found.times, found.asynchronous) == ("all-gather", 1, True)
    assert found.moved == 4 * 16 * 64 / 2
