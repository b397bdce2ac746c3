"""BERT and its kin: MiniLM, DistilBERT, RoBERTa, and CheXbert with its heads."""

from __future__ import annotations

from chexjax.families.family import BLOCK_SHARDING, EncoderFamily, Names
from chexjax.families.spec import BlockSpec, EncoderSpec

SHARDING = (
    *BLOCK_SHARDING,
    (r"(position|kind|heads)", ()),
    (r"embed/embedding", ("tensor", "fsdp")),
)


def bert_names(prefix: str, *, width: int, heads: int = 0, head: str = "") -> Names:
    """Names of BERT and RoBERTa behind `prefix`, and of classifiers called `head` and a number."""
    layer = f"{prefix}encoder.layer.*"
    return Names(
        modules=(
            ("embed", f"{prefix}embeddings.word_embeddings"),
            ("position", f"{prefix}embeddings.position_embeddings"),
            ("kind", f"{prefix}embeddings.token_type_embeddings"),
            ("norm", f"{prefix}embeddings.LayerNorm"),
            ("layers/*/attention/query", f"{layer}.attention.self.query"),
            ("layers/*/attention/key", f"{layer}.attention.self.key"),
            ("layers/*/attention/value", f"{layer}.attention.self.value"),
            ("layers/*/attention/out", f"{layer}.attention.output.dense"),
            ("layers/*/norm1", f"{layer}.attention.output.LayerNorm"),
            ("layers/*/mlp/fc1", f"{layer}.intermediate.dense"),
            ("layers/*/mlp/fc2", f"{layer}.output.dense"),
            ("layers/*/norm2", f"{layer}.output.LayerNorm"),
            *((f"heads/{k}", f"{head}{k}") for k in range(heads)),
        ),
        # Trained to tell whether two sentences follow each other; nobody reads it.
        unused=(
            (f"{prefix}pooler.dense.weight", (width, width)),
            (f"{prefix}pooler.dense.bias", (width,)),
        ),
        buffers=(r"embeddings\.(position_ids|token_type_ids)$",),
    )


DISTILBERT_NAMES = Names(
    modules=(
        ("embed", "embeddings.word_embeddings"),
        ("position", "embeddings.position_embeddings"),
        ("norm", "embeddings.LayerNorm"),
        ("layers/*/attention/query", "transformer.layer.*.attention.q_lin"),
        ("layers/*/attention/key", "transformer.layer.*.attention.k_lin"),
        ("layers/*/attention/value", "transformer.layer.*.attention.v_lin"),
        ("layers/*/attention/out", "transformer.layer.*.attention.out_lin"),
        ("layers/*/norm1", "transformer.layer.*.sa_layer_norm"),
        ("layers/*/mlp/fc1", "transformer.layer.*.ffn.lin1"),
        ("layers/*/mlp/fc2", "transformer.layer.*.ffn.lin2"),
        ("layers/*/norm2", "transformer.layer.*.output_layer_norm"),
    ),
)


def encoder(
    *,
    layers: int,
    width: int,
    heads: int,
    vocabulary: int = 30_522,
    positions: int = 512,
    offset: int = 0,
    types: int = 2,
    epsilon: float = 1e-12,
    mlp: int = 0,
    classes: tuple[int, ...] = (),
) -> EncoderSpec:
    """An encoder of the family; the MLP is four times as wide as the model unless `mlp` says so."""
    block = BlockSpec(
        width=width,
        heads=heads,
        mlp=mlp or 4 * width,
        epsilon=epsilon,
        causal=False,
        layout="post",
        activation="gelu",
    )
    return EncoderSpec(
        block=block,
        layers=layers,
        vocabulary=vocabulary,
        positions=positions,
        offset=offset,
        types=types,
        heads=classes,
    )


PRESETS = (
    EncoderFamily(
        name="minilm_l6",
        encoder=encoder(layers=6, width=384, heads=12),
        sharding=SHARDING,
        names=bert_names("", width=384),
        model_type="bert",
    ),
    EncoderFamily(
        name="chexbert",
        # Blank, positive, negative, uncertain for 13 findings; blank, positive for none of them.
        encoder=encoder(layers=12, width=768, heads=12, classes=(4,) * 13 + (2,)),
        sharding=SHARDING,
        names=bert_names("module.bert.", width=768, heads=14, head="module.linear_heads."),
    ),
    EncoderFamily(
        name="distilbert_base",
        encoder=encoder(layers=6, width=768, heads=12, types=0),
        sharding=SHARDING,
        names=DISTILBERT_NAMES,
        model_type="distilbert",
    ),
    EncoderFamily(
        name="roberta_large",
        encoder=encoder(
            layers=24,
            width=1024,
            heads=16,
            vocabulary=50_265,
            positions=514,
            offset=2,
            types=1,
            epsilon=1e-5,
        ),
        sharding=SHARDING,
        names=bert_names("", width=1024),
        model_type="roberta",
    ),
)
