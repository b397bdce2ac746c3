"""A config that is not the preset's is refused, and one that differs in no number is not."""

import json

import pytest

from chexjax.families import AnyFamily, preset
from chexjax.weights import CheckpointError
from chexjax.weights.config import check_config, describe

WRONG = [
    ("minilm_l6", "hidden_size", 768),
    ("minilm_l6", "type_vocab_size", 1),
    ("minilm_l6", "max_position_embeddings", 1024),
    ("roberta_large", "pad_token_id", 0),
    ("roberta_large", "layer_norm_eps", 1e-12),
    ("distilbert_base", "n_layers", 12),
    ("distilbert_base", "activation", "relu"),
    ("xraysiglip_vitl16", "text_config.vocab_size", 256_000),
    ("xraysiglip_vitl16", "vision_config.image_size", 384),
    ("chexagent2_3b", "num_hidden_layers", 24),
    ("smollm2_135m", "rope_parameters.rope_theta", 10_000.0),
    ("green_phi2", "rope_parameters.partial_rotary_factor", 0.5),
    ("green_llama2_7b", "rope_parameters.rope_type", "linear"),
    ("chexagent_8b", "vision_config.image_size", 224),
]


def put(config, dotted, value):
    """A copy of `config` with one field changed."""
    field, _, rest = dotted.partition(".")
    return config | {field: put(config[field], rest, value) if rest else value}


def check(folder, family, config):
    (folder / "config.json").write_text(json.dumps(config))
    check_config(folder, family)


@pytest.mark.parametrize(("name", "field", "value"), WRONG)
def test_a_field_that_contradicts_the_preset_is_named(name, field, value, tmp_path):
    family = preset(name, AnyFamily)
    config = describe(family, "float32")
    check(tmp_path, family, config)
    with pytest.raises(CheckpointError, match=f"preset {name}: {field} {value!r}, not [^;]*; give"):
        check(tmp_path, family, put(config, field, value))


def test_all_contradictions_are_named_together(tmp_path):
    family = preset("xraysiglip_vitl16", AnyFamily)
    config = describe(family, "float32")
    for field in ("text_config.hidden_size", "vision_config.hidden_size"):
        config = put(config, field, 768)
    with pytest.raises(CheckpointError, match="text_config.hidden_size.*vision_config.hidden_size"):
        check(tmp_path, family, config)


@pytest.mark.parametrize("name", ["minilm_l6", "xraysiglip_vitl16", "stories260k"])
def test_what_a_config_leaves_out_or_stores_otherwise_is_no_contradiction(name, tmp_path):
    """Older versions write only what differs from their defaults."""
    family = preset(name, AnyFamily)
    check(tmp_path, family, {"model_type": family.model_type})
    check(tmp_path, family, describe(family, "bfloat16") | {"architectures": ["Other"]})


@pytest.mark.parametrize(
    ("name", "old", "named"),
    [
        ("green_llama2_7b", {"rope_theta": 500_000.0}, "rope_theta 500000.0, not 10000.0"),
        ("green_phi2", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5, not 0.4"),
        ("dolly_v2_3b", {"rotary_pct": 1.0}, "partial_rotary_factor 1.0, not 0.25"),
        ("mistral_7b", {"rope_scaling": {"type": "linear"}}, "rope_type 'linear', not 'default'"),
    ],
)
def test_rotation_is_compared_under_its_older_names_too(name, old, named, tmp_path):
    with pytest.raises(CheckpointError, match=named):
        check(tmp_path, preset(name, AnyFamily), old)
    family = preset("chexagent2_3b", AnyFamily)
    check(tmp_path, family, {"rope_theta": 10_000.0, "rope_scaling": None})


def test_rotated_positions_may_be_used_further_than_a_preset_does(tmp_path):
    family = preset("stories260k", AnyFamily)
    check(tmp_path, family, describe(family, "float32") | {"max_position_embeddings": 4096})


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_config_is_named(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="config.json is no JSON object"):
        check_config(tmp_path, preset("minilm_l6", AnyFamily))


def test_an_architecture_that_transformers_lacks_is_not_described():
    with pytest.raises(ValueError, match="chexbert has no architecture of transformers"):
        describe(preset("chexbert", AnyFamily), "float32")
