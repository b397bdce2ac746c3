"""DyGIE++ (Wadden et al., EMNLP 2019), the model of RadGraph (Jain et al., NeurIPS 2021).

There is no preset: a released archive brings sizes and labels along; see `weights.dygie`.
"""

from __future__ import annotations

import re

from chexjax.families.bert import SHARDING, bert_names
from chexjax.families.family import Names, SpanFamily
from chexjax.families.spec import SpanSpec

_ENCODER = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
_RELATION = "_relation."


def dygie(dataset: str, spans: SpanSpec) -> SpanFamily:
    """The family of an archive's labels of one `dataset`."""
    return SpanFamily(
        name=f"dygie_{dataset}",
        spans=spans,
        sharding=((r"^(entity|pruner|relation|length)/", ()), *SHARDING),
        names=_names(dataset, spans),
    )


def _names(dataset: str, spans: SpanSpec) -> Names:
    bert = bert_names(_ENCODER, width=spans.encoder.block.width)
    entities, relations = f"{dataset}__ner_labels", f"{dataset}__relation_labels"
    pruner = f"{_RELATION}_mention_pruners.{relations}._scorer"
    return Names(
        modules=(
            *((f"encoder/{ours}", theirs) for ours, theirs in bert.modules),
            ("length", "_endpoint_span_extractor._span_width_embedding"),
            *_scorer("entity", spans, *_sequence(f"_ner._ner_scorers.{entities}")),
            *_scorer("pruner", spans, *_sequence(pruner)),
            *_scorer(
                "relation",
                spans,
                f"{_RELATION}_relation_feedforwards.{relations}",
                f"{_RELATION}_relation_scorers.{relations}",
            ),
        ),
        unused=bert.unused,
        # Tasks that RadGraph was not trained on are stored with their first, random weights, and an
        # archive may have scorers of other data sets' labels.
        buffers=(
            *bert.buffers,
            r"^_(coref|events)\.",
            rf"^_(ner|relation)\._\w+\.(?!{re.escape(dataset)}__)",
        ),
    )


def _sequence(module: str) -> tuple[str, str]:
    """Layers and output of a scorer that is stored as two modules in a row."""
    return f"{module}.0._module", f"{module}.1._module"


def _scorer(ours: str, spans: SpanSpec, layers: str, out: str) -> tuple[tuple[str, str], ...]:
    hidden = (
        (f"{ours}/hidden/{k}", f"{layers}._linear_layers.{k}") for k in range(len(spans.hidden))
    )
    return (*hidden, (f"{ours}/out", out))
