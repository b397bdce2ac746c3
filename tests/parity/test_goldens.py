"""Numbers of transformers, stored, so that a machine without torch checks against them too.

`CHEXJAX_GOLDENS=write` writes them anew, where torch is; they are compared with it in any case.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, TextFamily, bert, llama, neox, phi, preset, siglip
from chexjax.families.family import DualFamily, EncoderFamily
from chexjax.models import Prefix
from chexjax.testing import random_model
from chexjax.weights import save
from chexjax.weights.config import describe

FILE = Path(__file__).parent / "goldens.json"
SIZES = {"layers": 3, "width": 24, "heads": 2, "mlp": 40, "vocabulary": 30}
ENCODER = {"layers": 2, "width": 24, "heads": 2, "vocabulary": 30, "positions": 20}
IDS = np.random.default_rng(0).integers(2, 30, (2, 9)).astype(np.int32)
PIXELS = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), np.uint8)
VIEWS = np.random.default_rng(2).integers(0, 256, (2, 2, 32, 32, 3), np.uint8)


def encoder(model_type, names, **spec):
    return EncoderFamily(
        name="x",
        encoder=bert.encoder(**ENCODER, **spec),
        sharding=bert.SHARDING,
        names=names,
        model_type=model_type,
    )


FAMILIES = {
    "llama": llama.llama("x", **SIZES, kv_heads=1, context=32),
    "llama_tied": llama.llama("x", **SIZES, kv_heads=2, context=32, tied=True),
    "mistral": llama.llama("x", **SIZES, kv_heads=2, context=32, window=4, model_type="mistral"),
    "phi": TextFamily(
        name="x",
        decoder=phi.decoder(**SIZES, context=32, rotary=4),
        sharding=llama.SHARDING,
        names=phi.NAMES,
        model_type="phi",
    ),
    "neox": neox.neox("x", **SIZES, rotary=4),
    "bert": encoder("bert", bert.bert_names("", width=24)),
    "roberta": encoder("roberta", bert.bert_names("", width=24), offset=2, types=1),
    "distilbert": encoder("distilbert", bert.DISTILBERT_NAMES, types=0),
    "siglip": siglip.dual(
        "x",
        tower=siglip.vision(layers=2, width=24, heads=2, mlp=40, patch=8, size=16),
        vocabulary=30,
        positions=9,
    ),
    "chexagent_8b": preset("chexagent_nano", Family),
}


def ours(family):
    """Logits, hidden states, similarities or visual tokens, of random parameters."""
    model = random_model(family)
    if isinstance(family, Family):
        return model.encode_images(VIEWS)[:, -1]
    if isinstance(family, DualFamily):
        return model.similarity(model.encode_images(PIXELS), model.encode_texts(IDS))
    seen = np.ones(IDS.shape, bool)
    if isinstance(family, EncoderFamily):
        return model(IDS, seen)[:, -1]
    prefix = Prefix(tokens=IDS[:, :4], valid=seen[:, :4])
    return model.logits(model.score(prefix, IDS[:, None, 4:], seen[:, None, 4:]))[:, 0, -1]


def theirs(family, folder):
    """The same by transformers, from the checkpoint that we write."""
    torch = pytest.importorskip("torch", reason="goldens are compared with torch where it is")
    transformers = pytest.importorskip("transformers")
    config = describe(family, "float32")
    heads = family.decoder.block.heads if isinstance(family, TextFamily) else 1
    params = nnx.state(random_model(family))
    save(folder, params, family.names, config=config, heads=heads)
    if isinstance(family, Family):
        return their_visual_tokens(family, folder)
    cls = getattr(transformers, config["architectures"][0])
    model = cls.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.tensor(IDS).long()
    with torch.no_grad():
        if isinstance(family, DualFamily):
            pixels = (PIXELS.astype(np.float32) / 255 - 0.5) / 0.5
            pixels = torch.tensor(pixels.transpose(0, 3, 1, 2))
            return model(input_ids=ids, pixel_values=pixels).logits_per_image.numpy()
        out = model(ids)
        last = out.logits if isinstance(family, TextFamily) else out.last_hidden_state
        return last[:, -1].numpy()


def their_visual_tokens(family, folder):
    """BLIP-2's tower and Q-Former, and the projection, on all images of a study."""
    import torch
    import transformers
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")

    def filled(cls, config, prefix):
        mine = {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}
        model = cls(config)
        model.load_state_dict(mine)
        return model.eval()

    vision, connector = family.vision, family.connector
    tower = filled(
        transformers.Blip2VisionModel,
        transformers.Blip2VisionConfig(
            hidden_size=vision.block.width,
            intermediate_size=vision.block.mlp,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.block.heads,
            image_size=vision.size,
            patch_size=vision.patch,
            attn_implementation="eager",
        ),
        "vision_model.",
    )
    qformer = filled(
        transformers.Blip2QFormerModel,
        transformers.Blip2QFormerConfig(
            hidden_size=connector.block.width,
            intermediate_size=connector.block.mlp,
            num_hidden_layers=connector.layers,
            num_attention_heads=connector.block.heads,
            encoder_hidden_size=vision.block.width,
            attn_implementation="eager",
        ),
        "qformer.",
    )
    clip = family.image
    pixels = (VIEWS.astype(np.float32) / 255 - clip.mean) / clip.std
    pixels = torch.tensor(pixels.reshape(4, 32, 32, 3).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        features = tower(pixels).last_hidden_state.reshape(2, -1, vision.block.width)
        queries = tensors["query_tokens"].expand(2, -1, -1)
        hidden = qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
        weight, bias = (tensors[f"language_projection.{part}"] for part in ("weight", "bias"))
        return (hidden[:, -1] @ weight.T + bias).numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_stored_numbers_are_those_of_transformers(name, tmp_path):
    numbers = theirs(FAMILIES[name], tmp_path)
    stored = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("CHEXJAX_GOLDENS") == "write":
        stored[name] = [[float(f"{x:.8g}") for x in row[:8]] for row in numbers]
        FILE.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")
    np.testing.assert_allclose(numbers[:, :8], stored[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_we_compute_the_stored_numbers(name):
    stored = json.loads(FILE.read_text())[name]
    np.testing.assert_allclose(ours(FAMILIES[name])[:, :8], stored, rtol=1e-5, atol=1e-5)
