import dataclasses

import jax
import pytest
from jax.sharding import AbstractMesh

from chexjax.families import PRESETS, preset
from chexjax.mesh import AXES, parameter_shardings, path_name
from chexjax.models import VLM


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_has_a_place_and_large_ones_are_sharded(name):
    family = preset(name)
    shapes = VLM.abstract(family)[1]
    mesh = AbstractMesh((1, 2, 2), AXES)
    places = parameter_shardings(shapes, family.sharding, mesh)
    for (path, leaf), place in zip(
        jax.tree_util.tree_leaves_with_path(shapes), jax.tree.leaves(places), strict=True
    ):
        if path_name(path).endswith(("kernel", "embedding")):
            assert any(place.spec), f"{path_name(path)} {leaf.shape} is whole on every device"


@pytest.mark.parametrize("name", PRESETS)
def test_the_numbers_of_a_preset_fit_together(name):
    family = preset(name)
    vision, decoder = family.vision, family.decoder
    for block in (vision.block, decoder.block):
        assert block.width % block.heads == 0
        assert block.rotary % 2 == 0 and block.rotary <= block.head
    assert vision.size % vision.patch == 0
    assert vision.block.width % 4 == 0  # the sine-cosine table has four parts
    assert decoder.context > family.max_images * vision.tokens
    assert set(family.template.special) >= {family.template.end, family.template.placeholder}


def test_a_preset_is_a_value():
    family = preset("chexagent2_nano")
    assert hash(family) == hash(dataclasses.replace(family))
    with pytest.raises(dataclasses.FrozenInstanceError):
        family.connector = 1


def test_an_unknown_preset_gets_the_nearest():
    with pytest.raises(ValueError, match="no model preset 'chexagent2_nono'.*chexagent2_nano"):
        preset("chexagent2_nono")
