import pytest

from chexjax.stages.align import ALIGN
from chexjax.stages.config import LossConfig, ReferenceConfig, RunConfig
from chexjax.stages.reference import REFERENCE
from chexjax.train import Reference


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay": 0.9}, r"reference\.decay=0\.9 moves the reference, which mode='cached'"),
        ({"every": 8}, r"reference\.every=8 moves the reference, which mode='cached'"),
        ({"mode": "fixed", "every": 8}, "set mode='synchronised'"),
        ({"mode": "averaged"}, r"mode='averaged' needs reference\.decay"),
        ({"mode": "averaged", "decay": 1.0}, r"decay=1\.0 is not from 0 to below 1"),
        ({"mode": "synchronised", "every": 0}, "every=0 must be at least 1"),
    ],
)
def test_a_cache_does_not_move_and_what_moves_says_how(given, message):
    with pytest.raises(ValueError, match=message):
        ReferenceConfig(**given)


def test_a_reference_in_the_step_is_part_of_the_policy_and_needs_no_cache():
    moving = RunConfig(reference=ReferenceConfig(mode="averaged", decay=0.99))
    assert moving.reference.in_step() == Reference(decay=0.99)
    assert not REFERENCE.needed(moving) and REFERENCE.needed(RunConfig())
    assert not REFERENCE.needed(RunConfig(loss=LossConfig(name="orpo")))
    assert ALIGN.content(moving)["reference"]["decay"] == 0.99
    assert "reference" not in ALIGN.content(RunConfig())
