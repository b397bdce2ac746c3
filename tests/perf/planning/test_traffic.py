"""Bytes of kernels, counted by hand."""

import pytest

from chexjax.perf.planning.hlo import Module
from chexjax.perf.planning.traffic import traffic
from tests.perf.planning.test_collectives import PIECES

KERNELS = """
%slice (all: f32[10,100], at: s32[]) -> f32[100] {
  %all = f32[10,100]{1,0} parameter(0)
  %at = s32[] parameter(1)
  %one = f32[1,100]{1,0} dynamic-slice(%all, %at), dynamic_slice_sizes={1,100}
  ROOT %flat = f32[100]{0} bitcast(%one)
}

%put (all: f32[10,100], new: f32[1,100], at: s32[]) -> f32[10,100] {
  %all = f32[10,100]{1,0} parameter(0)
  %new = f32[1,100]{1,0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %made = f32[10,100]{1,0} dynamic-update-slice(%all, %new, %at)
}

%product (a: f32[10,100], b: f32[100,10]) -> f32[10,10] {
  %a = f32[10,100]{1,0} parameter(0)
  %b = f32[100,10]{1,0} parameter(1)
  ROOT %made = f32[10,10]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""


def count(*lines):
    body = "\n".join(f"  {line}" for line in lines)
    entry = f"""
ENTRY %main (all: f32[10,100], b: f32[100,10], new: f32[1,100], at: s32[]) -> f32[10,100] {{
  %all = f32[10,100]{{1,0}} parameter(0)
  %b = f32[100,10]{{1,0}} parameter(1)
  %new = f32[1,100]{{1,0}} parameter(2)
  %near = f32[100,10]{{1,0:S(1)}} parameter(3)
  %at = s32[] parameter(4)
{body}
}}
"""
    found = traffic(Module("HloModule step\n" + KERNELS + entry))
    return found.matmuls, found.rest


@pytest.mark.parametrize(
    ("line", "matmuls", "rest"),
    [
        ("ROOT %x = f32[10,100]{1,0} add(%all, %all)", 0, 3 * 4000),
        ("ROOT %x = f32[10,10]{1,0} dot(%all, %b), lhs_contracting_dims={1}", 2 * 4000 + 400, 0),
        ("ROOT %x = f32[10,10]{1,0} fusion(%all, %b), kind=kOutput, calls=%product", 8400, 0),
        ("ROOT %x = f32[10,10]{1,0} fusion(%all, %near), kind=kOutput, calls=%product", 4400, 0),
        ("ROOT %x = f32[100]{0} fusion(%all, %at), kind=kLoop, calls=%slice", 0, 2 * 400 + 4),
        ("ROOT %x = f32[10,100]{1,0} fusion(%all, %new, %at), kind=kLoop, calls=%put", 0, 804),
        ("ROOT %x = f32[10,100]{1,0} dynamic-update-slice(%all, %new, %at)", 0, 4404),
        ("ROOT %x = (f32[10,100]{1,0}, f32[100,10]{1,0}) tuple(%all, %b)", 0, 0),
        ('ROOT %x = f32[100,10]{1,0} custom-call(), custom_call_target="AllocateBuffer"', 0, 0),
    ],
)
def test_a_kernel_reads_what_it_takes_and_writes_what_it_makes(line, matmuls, rest):
    assert count(line) == (matmuls, rest)


def test_a_gathering_in_pieces_moves_its_bytes_once():
    """Its start makes the part and the whole; the matmul beside it has bytes of its own."""
    found = traffic(Module(PIECES))
    assert (found.matmuls, found.rest) == (2 * 8 * 8 * 4, (8 * 64 + 16 * 64) * 4)
