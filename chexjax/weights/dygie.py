"""Archives of DyGIE++ as AllenNLP writes them: `config.json`, `vocabulary/`, `weights.th`."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from chexjax.families import EncoderSpec, SpanFamily, SpanSpec
from chexjax.families.dygie import dygie
from chexjax.weights.store import Checkpoint, CheckpointError
from chexjax.weights.torch_file import read_torch

_CONFIG, _WEIGHTS = "config.json", "weights.th"
_ENTITIES, _RELATIONS = "__ner_labels.txt", "__relation_labels.txt"
_VOCABULARY = "vocabulary/"
_LARGEST = 8 << 30  # bytes of one file of an archive


class Archive:
    """The files of an archive, a `.tar.gz` or the folder that it was unpacked to, in memory.

    Nothing is unpacked to disk, and files of other names are not looked at.
    """

    def __init__(self, path: Path) -> None:
        """Reads it once.

        Raises:
          CheckpointError: it is not there, or is no archive of the kind.
        """
        self.path = path
        self._content = (
            {str(file.relative_to(path)): file.read_bytes() for file in archive_files(path)}
            if path.is_dir()
            else _packed(path)
        )
        if lacking := [name for name in (_CONFIG, _WEIGHTS) if name not in self._content]:
            raise CheckpointError(f"{path} has no {lacking[0]}; give an archive of DyGIE++")
        try:
            self._config: Mapping[str, Any] = json.loads(self._content[_CONFIG])
        except ValueError as error:
            raise CheckpointError(f"{path}: {_CONFIG} is no JSON; fetch it again") from error

    @property
    def datasets(self) -> list[str]:
        """Data sets whose labels it has scorers of, by name."""
        entities, relations = (
            {Path(name).name.removesuffix(end) for name in self._content if name.endswith(end)}
            for end in (_ENTITIES, _RELATIONS)
        )
        return sorted(entities & relations)

    def family(self, dataset: str, bert: EncoderSpec) -> SpanFamily:
        """What it is a checkpoint of.

        Args:
          dataset: Whose labels; the only one where it is empty.
          bert: The encoder that it was trained on; see `encoders.encoder_spec`.

        Raises:
          CheckpointError: there are no labels of the data set, or the archive's model is not one
            that is understood.
        """
        names = self.datasets
        if not dataset and len(names) == 1:
            dataset = names[0]
        if dataset not in names:
            raise CheckpointError(
                f"{self.path} has labels of {names}, not of {dataset!r}; name one"
            )
        none, *entities = self._lines(dataset + _ENTITIES)
        if none:
            raise CheckpointError(f"{self.path}: {dataset}{_ENTITIES} does not start with no label")
        return dygie(dataset, self._spec(bert, entities, self._lines(dataset + _RELATIONS)))

    def _lines(self, name: str) -> list[str]:
        return self._content[f"{_VOCABULARY}{name}"].decode().removesuffix("\n").split("\n")

    def _spec(self, bert: EncoderSpec, entities: list[str], relations: list[str]) -> SpanSpec:
        try:
            model = self._config["model"]
            layers, widths = (model["feedforward_params"][k] for k in ("num_layers", "hidden_dims"))
            spec = SpanSpec(
                encoder=bert,
                longest=int(model["max_span_width"]),
                feature=int(model["feature_size"]),
                hidden=tuple(widths) if isinstance(widths, list) else (int(widths),) * int(layers),
                entities=tuple(entities),
                relations=tuple(relations),
                kept=float(model["modules"]["relation"]["spans_per_word"]),
            )
            weights, coref = model["loss_weights"], model["modules"].get("coref", {})
            others = [weights.get("coref"), weights.get("events"), coref.get("coref_prop")]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"{self.path}: {_CONFIG} does not describe a DyGIE++ ({error!r}); fetch it again"
            ) from error
        if any(others):
            raise CheckpointError(
                f"{self.path}: model.loss_weights or modules.coref ask for coreference or events; "
                "only entities and relations are computed, as RadGraph has them"
            )
        return spec

    @property
    def segment(self) -> int:
        """Pieces that the encoder reads at a time, special tokens included.

        Raises:
          CheckpointError: the config does not say.
        """
        try:
            indexers = self._config["dataset_reader"]["token_indexers"]
            return int(indexers["bert"]["max_length"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}: {_CONFIG} has no dataset_reader.token_indexers.bert.max_length"
            ) from error

    def checkpoint(self) -> Checkpoint:
        """The weights.

        Raises:
          CheckpointError: they cannot be read.
        """
        return read_torch(io.BytesIO(self._content[_WEIGHTS]), self.path)


def archive_files(path: Path) -> list[Path]:
    """The files on disk that decide what an archive's model computes."""
    if not path.is_dir():
        return [path]
    return sorted(
        file for file in path.rglob("*") if file.is_file() and _is_read(file.relative_to(path))
    )


def _is_read(name: PurePath) -> bool:
    return str(name) in (_CONFIG, _WEIGHTS) or str(name).startswith(_VOCABULARY)


def _packed(path: Path) -> dict[str, bytes]:
    """The files of a `.tar.gz`."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as opened:
            for one in opened:
                name = one.name.removeprefix("./")
                if not one.isfile() or not _is_read(PurePath(name)):
                    continue
                if one.size > _LARGEST:
                    raise CheckpointError(
                        f"{path}: {name} has {one.size:,} bytes; is it RadGraph's?"
                    )
                content = opened.extractfile(one)
                assert content is not None
                found[name] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise CheckpointError(
            f"{path} is no whole .tar.gz ({error}); give RadGraph's, whole, or its folder"
        ) from error
    return found
