"""A program as XLA prints it, with loops whose length stands only in their condition."""

import collections

import pytest

from chexjax.perf.planning.hlo import Module

TEXT = """
HloModule step

%below (state: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(31)
  %state = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %at = s32[]{:T(128)} get-tuple-element(%state), index=0
  ROOT %go = pred[]{:T(512)} compare(%at, %limit), direction=LT
}

%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %at = s32[]{:T(128)} get-tuple-element(%state), index=0
  %x = f32[4]{0} get-tuple-element(%state), index=1
  %two = s32[]{:T(128)} constant(2)
  %next = s32[]{:T(128)} add(%at, %two)
  %y = f32[4]{0} fusion(%x), kind=kLoop, calls=%kernel
  ROOT %out = (s32[]{:T(128)}, f32[4]{0}) tuple(%next, %y)
}

%kernel (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  ROOT %y = f32[4]{0} negate(%x)
}

ENTRY %main (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  %zero = s32[] constant(0)
  %first = (s32[], f32[4]{0}) tuple(%zero, %p)
  %loop = (s32[]{:T(128)}, f32[4]{0}) while(%first), condition=%below, body=%body
  ROOT %x = f32[4]{0} get-tuple-element(%loop), index=1
}
"""


def executed(text):
    return {(one.one.opcode, one.fused): one.times for one in Module(text).executed()}


def test_a_loop_runs_until_its_counter_is_there():
    """31 in steps of two is 16 times."""
    assert executed(TEXT)["negate", True] == 16
    assert executed(TEXT)["fusion", False] == 16
    assert executed(TEXT)["while", False] == 1
    assert executed(TEXT.replace("constant(2)", "constant(1)"))["negate", True] == 31
    assert executed(TEXT.replace("direction=LT", "direction=GT"))["negate", True] == 1


def test_the_compiler_s_own_word_comes_first():
    told = TEXT.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"5"}}')
    assert executed(told)["negate", True] == 5


def test_arrays_say_their_bytes_and_where_they_lie():
    text = TEXT.replace("f32[4]{0} negate", "(bf16[3,5]{1,0:T(8,128)(2,1)S(1)}, pred[7]{0}) negate")
    [made] = [one.one for one in Module(text).executed() if one.one.opcode == "negate"]
    assert [(one.kind, one.size, one.main) for one in made.arrays] == [
        ("bf16", 30, False),
        ("pred", 7, True),
    ]
    assert made.operands == ["x"]


def test_each_computation_is_read_whole():
    lines = collections.Counter(one.inside for one in Module(TEXT).executed())
    assert lines == {"main": 5, "body": 7, "kernel": 2}


def test_what_is_no_program_is_an_error():
    with pytest.raises(ValueError, match="no text of an HLO module"):
        Module("nothing")
