"""The triplets that are made from a run's studies."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chexjax.data.instruct.exclusion import EXCLUDED, plain_id
from chexjax.data.instruct.instructions import INSTRUCTIONS
from chexjax.data.instruct.mixture import MixtureConfig
from chexjax.data.instruct.tasks import TASKS, Asked
from chexjax.data.instruct.triplets import Triplet
from chexjax.data.study import Rejected, Study
from chexjax.rng import hash_words

_NEAR = 32  # rows on either side among which the second study of a pair is looked for


class StudyTriplets:
    """Everything that a mixture asks about the studies of one source.

    What is asked about a study depends on the seed, its id, the studies near it and those of its
    patient alone.
    """

    def __init__(
        self,
        config: MixtureConfig,
        studies: Sequence[Mapping[str, Any]],
        *,
        source: str,
        seed: int,
        excluded: frozenset[str] = frozenset(),
    ) -> None:
        """Sets what is asked about which studies.

        Args:
          config: The mixture.
          studies: Rows of the `studies` artefact.
          source: Name of their source, and so of the data set.
          seed: Another seed, other questions.
          excluded: Ids, as of `excluded_ids`.
        """
        self._config, self._studies, self._excluded = config, studies, excluded
        self._source, self._seed = source, seed
        self._names = [name for name, weight in config.tasks.items() if weight]

    def about(self, rows: Iterable[int]) -> Iterator[Triplet | Rejected]:
        """All that is asked about some studies; those that are excluded are rejected."""
        for row in rows:
            study = Study.from_row(self._studies[row])
            if self._is_excluded(study):
                yield Rejected(study.id, EXCLUDED)
            else:
                yield from self._all(row, study)

    def _all(self, row: int, study: Study) -> Iterator[Triplet]:
        rng = self._stream(study.id)
        # The smallest of exponential times at these rates: drawing by weight, none twice.
        times = rng.exponential(size=len(self._names)) / [
            self._config.tasks[n] for n in self._names
        ]
        drawn = np.argsort(times)[: self._config.per_study]
        for name in (self._names[k] for k in sorted(drawn)):
            if triplet := self._ask(name, (row, study), self._second(name, row, study)):
                yield triplet

    def _ask(
        self, name: str, first: tuple[int, Study], second: tuple[int, Study]
    ) -> Triplet | None:
        study, other = first[1], second[1]
        task, rng = TASKS[name], self._stream(f"{study.id}/{name}")
        if task.images and not study.images:
            return None
        asked = task.make(study, other, rng)
        if asked is None:
            return None
        phrasings = asked.phrasings or INSTRUCTIONS.get(name, ("",))
        words = phrasings[int(rng.integers(len(phrasings)))]
        return Triplet(
            id=f"{study.id}/{name}",
            split="test" if self._source in self._config.held_out else study.split,
            dataset=self._source,
            task=name,
            studies=tuple(dict.fromkeys((study.id, other.id) if task.pairs else (study.id,))),
            pictures=tuple(_shown(asked, first, second)) if task.images else (),
            instruction=words.format(**asked.fields),
            indication="" if words else study.indication,
            answer=asked.answer,
        )

    def _second(self, name: str, row: int, study: Study) -> tuple[int, Study]:
        """Row and study that a task asks about, too, of the same split; its own where none is."""
        pairs = TASKS[name].pairs
        if not pairs:
            return row, study
        if pairs == "patient" and study.patient:
            among = self._of_patient[study.patient]
        else:
            among = list(range(max(0, row - _NEAR), min(len(self._studies), row + _NEAR + 1)))
        for other in self._stream(f"{study.id}/{name}/second").permutation(among).tolist():
            found = Study.from_row(self._studies[other])
            if other != row and found.split == study.split and not self._is_excluded(found):
                return other, found
        return row, study

    @functools.cached_property
    def _of_patient(self) -> Mapping[str, Sequence[int]]:
        """Rows of each patient's studies, for which all are read once."""
        rows = defaultdict[str, list[int]](list)
        for row, study in enumerate(self._studies):
            rows[study["patient"]].append(row)
        return rows

    def _is_excluded(self, study: Study) -> bool:
        return plain_id(study.id) in self._excluded

    def _stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng((self._seed, *hash_words(name).tolist()))


def _shown(
    asked: Asked, first: tuple[int, Study], second: tuple[int, Study]
) -> Iterator[tuple[int, int]]:
    row, study = first
    own = range(len(study.images)) if asked.own is None else asked.own
    yield from ((row, number) for number in own)
    yield from ((second[0], number) for number in asked.others)
