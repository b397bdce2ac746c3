import dataclasses

import jax
import pytest
from jax.sharding import AbstractMesh

from chexjax.families import (
    PRESETS,
    AnyFamily,
    DualFamily,
    EncoderFamily,
    Family,
    TextFamily,
    preset,
)
from chexjax.mesh import AXES, parameter_shardings, path_name
from chexjax.models import model_class

SMALL = ("position/", "kind/", "heads/")
POLICIES = [name for name, family in PRESETS.items() if isinstance(family, Family)]


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_has_a_place_and_large_ones_are_sharded(name):
    family = preset(name, AnyFamily)
    shapes = model_class(family).abstract(family)[1]
    mesh = AbstractMesh((1, 2, 2), AXES)
    places = parameter_shardings(shapes, family.sharding, mesh)
    for (path, leaf), place in zip(
        jax.tree_util.tree_leaves_with_path(shapes), jax.tree.leaves(places), strict=True
    ):
        name = path_name(path)
        if name.endswith(("kernel", "embedding")) and not name.startswith(SMALL):
            assert any(place.spec), f"{name} {leaf.shape} is whole on every device"


@pytest.mark.parametrize("name", PRESETS)
def test_the_numbers_of_a_layer_fit_together(name):
    family = preset(name, AnyFamily)
    if isinstance(family, DualFamily):
        check_block(family.vision.block)
        part = family.text
    else:
        part = family.encoder if isinstance(family, EncoderFamily) else family.decoder
    check_block(part.block)


def check_block(block):
    assert block.width % block.heads == 0
    assert block.heads % (block.kv_heads or block.heads) == 0
    assert block.rotary % 2 == 0 and block.rotary <= block.head


@pytest.mark.parametrize("name", POLICIES)
def test_the_numbers_of_a_policy_fit_together(name):
    family = preset(name, Family)
    vision, decoder = family.vision, family.decoder
    check_block(vision.block)
    assert vision.size % vision.patch == 0
    assert vision.block.width % 4 == 0  # the sine-cosine table has four parts
    assert decoder.context > family.max_images * vision.tokens
    assert set(family.template.special) >= {family.template.end, family.template.placeholder}


def test_a_preset_is_a_value():
    family = preset("chexagent2_nano", Family)
    assert hash(family) == hash(dataclasses.replace(family))
    with pytest.raises(dataclasses.FrozenInstanceError):
        family.connector = 1


def test_a_language_model_is_no_policy():
    assert preset("green_phi2", TextFamily).decoder.layers == 32
    with pytest.raises(ValueError, match="no model preset 'green_phi2'"):
        preset("green_phi2", Family)


def test_an_unknown_preset_gets_the_nearest():
    with pytest.raises(ValueError, match="no model preset 'chexagent2_nono'.*chexagent2_nano"):
        preset("chexagent2_nono", Family)
