"""DyGIE++ in torch, module by module under the names that its checkpoints have, and an archive.

Written from the published description, as slowly as it reads: one text at a time, spans in a list.
"""

import io
import json
import tarfile

import torch
import transformers
from torch import nn

from chexjax.judges.graph import Entity

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 60}
CONFIG = transformers.BertConfig(
    **SIZES, intermediate_size=128, max_position_embeddings=40, attn_implementation="eager"
)
ENTITIES = ["ANAT-DP", "OBS-DP", "OBS-U", "OBS-DA"]
RELATIONS = ["modify", "located_at", "suggestive_of"]
LONGEST, FEATURE, HIDDEN, KEPT, SEGMENT = 3, 5, [12, 9], 0.5, 24


class Named(nn.Module):
    """A module under one more name."""

    def __init__(self, name, module):
        super().__init__()
        self.add_module(name, module)

    def forward(self, *args):
        return next(self.children())(*args)


class FeedForward(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        widths = [inputs, *HIDDEN]
        layers = [nn.Linear(a, b) for a, b in zip(widths, HIDDEN, strict=False)]
        self._linear_layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self._linear_layers:
            x = torch.relu(layer(x))
        return x


def scorer(inputs, outputs):
    layers = Named("_module", FeedForward(inputs)), Named("_module", nn.Linear(HIDDEN[-1], outputs))
    return nn.Sequential(*layers)


class Ner(nn.Module):
    def __init__(self, dataset, width):
        super().__init__()
        name = f"{dataset}__ner_labels"
        self._ner_scorers = nn.ModuleDict({name: scorer(width, len(ENTITIES))})


class Relation(nn.Module):
    def __init__(self, dataset, width):
        super().__init__()
        name = f"{dataset}__relation_labels"
        self._mention_pruners = nn.ModuleDict({name: Named("_scorer", scorer(width, 1))})
        self._relation_feedforwards = nn.ModuleDict({name: FeedForward(3 * width)})
        self._relation_scorers = nn.ModuleDict({name: nn.Linear(HIDDEN[-1], len(RELATIONS))})


class DyGIE(nn.Module):
    def __init__(self, dataset="radgraph"):
        super().__init__()
        bert = transformers.BertModel(CONFIG)
        matched = Named("_matched_embedder", Named("transformer_model", bert))
        self._embedder = Named("token_embedder_bert", matched)
        self._endpoint_span_extractor = Named(
            "_span_width_embedding", nn.Embedding(LONGEST, FEATURE)
        )
        width = 2 * CONFIG.hidden_size + FEATURE
        self._ner = Ner(dataset, width)
        self._relation = Relation(dataset, width)
        self._coref = Named("_antecedent_scorer", nn.Linear(3, 1))  # never trained, always stored

    def read(self, pieces, cls, sep):
        """Hidden states of a text's pieces; a long one is read in segments of equal length."""
        room = SEGMENT - 2
        found = []
        for first in range(0, max(len(pieces), 1), room):
            ids = torch.tensor([[cls, *pieces[first : first + room], sep]])
            bert = self._embedder.token_embedder_bert._matched_embedder.transformer_model
            found.append(bert(ids).last_hidden_state[0, 1:-1])
        return torch.cat(found)

    def forward(self, words, cls, sep):
        """Spans with their scores, the kept ones, and the scores of their pairs.

        `words` has the pieces of each word.
        """
        hidden, at, means = self.read([one for word in words for one in word], cls, sep), 0, []
        for word in words:
            own = hidden[at : at + len(word)]
            means.append(own.mean(0) if word else torch.zeros(CONFIG.hidden_size))
            at += len(word)
        spans = [(a, b) for a in range(len(words)) for b in range(a, min(a + LONGEST, len(words)))]
        table = self._endpoint_span_extractor._span_width_embedding.weight
        vectors = torch.stack([torch.cat([means[a], means[b], table[b - a]]) for a, b in spans])
        [tagger] = self._ner._ner_scorers.values()
        [pruner] = self._relation._mention_pruners.values()
        promise = pruner(vectors)[:, 0]
        count = int(torch.ceil(torch.tensor(len(words)).float() * KEPT))
        kept = sorted(promise.topk(count).indices.tolist())
        none = torch.zeros(len(spans), 1)
        return (
            spans,
            torch.cat([none, tagger(vectors)], 1),
            kept,
            self.pairs(vectors, promise, kept),
        )

    def pairs(self, vectors, promise, kept):
        [layers] = self._relation._relation_feedforwards.values()
        [out] = self._relation._relation_scorers.values()
        rows = []
        for i in kept:
            both = [torch.cat([vectors[i], vectors[j], vectors[i] * vectors[j]]) for j in kept]
            worth = (promise[i] + promise[kept])[:, None]
            scores = out(layers(torch.stack(both))) + worth
            rows.append(torch.cat([torch.zeros(len(kept), 1), scores], 1))
        return torch.stack(rows)


def graph(words, spans, entities, kept, pairs):
    """The entities of one report as the published package finds them."""
    tagged = [
        (span, ENTITIES[k - 1]) for span, k in zip(spans, entities.argmax(1), strict=True) if k
    ]
    numbers = {span: n for n, (span, _) in enumerate(tagged)}
    found = []
    for span, label in tagged:
        relations = [
            (RELATIONS[pairs[i, j].argmax() - 1], numbers[spans[kept[j]]])
            for i in range(len(kept))
            for j in range(len(kept))
            if spans[kept[i]] == span and pairs[i, j].argmax() and spans[kept[j]] in numbers
        ]
        tokens = " ".join(words[span[0] : span[1] + 1])
        found.append(Entity(tokens, label, tuple(relations), *span))
    return tuple(found)


def config_json(**changed):
    """The fields of a released config that inference reads."""
    model = {
        "feature_size": FEATURE,
        "max_span_width": LONGEST,
        "feedforward_params": {"num_layers": 2, "hidden_dims": HIDDEN, "dropout": 0.4},
        "loss_weights": {"coref": 0.0, "ner": 0.2, "relation": 1.0, "events": 0.0},
        "modules": {"coref": {"coref_prop": 0}, "relation": {"spans_per_word": KEPT}},
    }
    indexers = {"bert": {"model_name": "some/bert", "max_length": SEGMENT}}
    reader = {"max_span_width": LONGEST, "token_indexers": indexers}
    return {"dataset_reader": reader, "model": model | changed}


def write_archive(file, model, dataset="radgraph", **changed):
    """An archive in the released layout."""
    weights = io.BytesIO()
    torch.save(model.state_dict(), weights)
    content = {
        "config.json": json.dumps(config_json(**changed)).encode(),
        "vocabulary/non_padded_namespaces.txt": b"*tags\n*labels",
        f"vocabulary/{dataset}__ner_labels.txt": "\n".join(["", *ENTITIES]).encode(),
        f"vocabulary/{dataset}__relation_labels.txt": "\n".join(RELATIONS).encode(),
        "weights.th": weights.getvalue(),
    }
    with tarfile.open(file, "w:gz") as opened:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            opened.addfile(entry, io.BytesIO(data))


WORDS = (
    "the lung ##s are clear . no effusion pneumothorax left small right heart size normal mild "
    "card ##iomegaly opacity base , ( ) / : edema tube 2 cm above without may be"
)


def write_encoder(folder):
    """The config and the tokenizer of the encoder, as transformers keeps them."""
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    CONFIG.save_pretrained(folder)
