"""A text encoder's family from its folder alone: sizes from `config.json`, names from the keys."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chexjax.families import EncoderFamily, EncoderSpec, Names
from chexjax.families.bert import DISTILBERT_NAMES, SHARDING, bert_names, encoder
from chexjax.weights.architectures import DISTILBERT
from chexjax.weights.store import CheckpointError
from chexjax.weights.torch_file import open_checkpoint

_WORDS = "embeddings.word_embeddings.weight"
_FIELDS = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "types": "type_vocab_size",
    "epsilon": "layer_norm_eps",
}
_DISTILBERT_FIELDS = {
    ours: DISTILBERT.get(theirs, theirs)
    for ours, theirs in _FIELDS.items()
    if ours not in ("types", "epsilon")  # it has no types, and the one epsilon in its code
}
_KINDS = {"bert": _FIELDS, "roberta": _FIELDS, "distilbert": _DISTILBERT_FIELDS}
"""Fields of our spec in the config of each architecture."""
_USUAL = {"hidden_act": "gelu", "activation": "gelu", "position_embedding_type": "absolute"}
"""Fields that are left out where they are as here, and are computed in no other way."""


def local_encoder(folder: Path, *, layers: int = 0) -> EncoderFamily:
    """The family of a BERT, RoBERTa or DistilBERT of any size, as its hub folder describes it.

    A checkpoint with a head for language modelling or a pooler will do: neither is read.

    Args:
      folder: `config.json` and what `open_checkpoint` opens.
      layers: How many layers are kept, from the first; 0 for all.

    Raises:
      CheckpointError: the folder cannot be read, holds another kind of model, or has fewer layers.
    """
    spec = encoder_spec(folder)
    if layers > spec.layers:
        raise CheckpointError(f"{folder} has {spec.layers} layers, not {layers}; ask for fewer")
    # DistilBERT is the one that does not tell a first sentence from a second.
    bare = bert_names("", width=spec.block.width) if spec.types else DISTILBERT_NAMES
    return EncoderFamily(
        name=folder.name,
        encoder=dataclasses.replace(spec, layers=layers or spec.layers),
        sharding=SHARDING,
        names=_names(open_checkpoint(folder), bare, range(layers or spec.layers, spec.layers)),
    )


def encoder_spec(folder: Path) -> EncoderSpec:
    """The BERT, RoBERTa or DistilBERT that a folder of transformers describes in `config.json`.

    Raises:
      CheckpointError: there is no such file, or it is another kind of model's.
    """
    file = folder / "config.json"
    config = _config(file)
    kind = config["model_type"]
    fields = _KINDS[kind]
    if missing := sorted(set(fields.values()) - config.keys()):
        raise CheckpointError(f"{file} has no field {', '.join(missing)}; fetch the file again")
    if odd := {k: config[k] for k, usual in _USUAL.items() if config.get(k, usual) != usual}:
        raise CheckpointError(f"{file}: {odd} is not computed here; give another encoder")
    # RoBERTa's positions count from behind the id of padding.
    more = {"offset": config.get("pad_token_id", 1) + 1} if kind == "roberta" else {}
    more |= {"types": 0} if kind == "distilbert" else {}
    return encoder(**{ours: config[theirs] for ours, theirs in fields.items()}, **more)


def _config(file: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(file.read_text("utf-8"))
        kind = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{file} cannot be read as a model's config: {error!r}; give the folder of an encoder"
        ) from error
    if kind not in _KINDS:
        raise CheckpointError(
            f"{file}: model_type {kind!r} is no text encoder known here; one of {sorted(_KINDS)} is"
        )
    return config


def _names(keys: Iterable[str], bare: Names, dropped: range) -> Names:
    """Names behind the prefix that the checkpoint has, of the layers that are kept.

    Some of the oldest checkpoints call a norm's two vectors gamma and beta.
    """
    found = list(keys)
    prefix = next((key.removesuffix(_WORDS) for key in found if key.endswith(_WORDS)), "")
    modules = tuple((ours, prefix + theirs) for ours, theirs in bare.modules)
    norms = [pair for pair in modules if pair[0].rpartition("/")[2].startswith("norm")]
    old = any(key.endswith(".gamma") for key in found)
    outside = [rf"^(?!{re.escape(prefix)})"] if prefix else []
    above = [rf"^{re.escape(prefix)}\w+\.layer\.{number}\." for number in dropped]
    return Names(
        modules=modules,
        tensors=tuple(
            (f"{ours}/{leaf}", f"{theirs}.{named}")
            for ours, theirs in norms
            for leaf, named in (("scale", "gamma"), ("bias", "beta"))
            if old
        ),
        buffers=(*bare.buffers, rf"^{re.escape(prefix)}pooler\.", *outside, *above),
    )
