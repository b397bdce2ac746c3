"""The instruction mixture after CheXinstruct: which tasks and data sets, in which shares.

CheXagent (Chen et al., arXiv:2401.12208) is tuned on triplets of images, instruction and answer out
of many data sets, each task asked for in ten ways, with some data sets held out whole. Its triplets
are not published; these are made from the run's own studies, or read from tables.
"""

from __future__ import annotations

import dataclasses

from chexjax.config import local, nearest
from chexjax.data.instruct.tasks import TASKS
from chexjax.data.instruct.triplet_tables import TripletTable
from chexjax.data.instruct.triplets import Triplet

Group = tuple[str, str]
"""A data set, and a task of it where its tasks have shares of their own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """What `sft` learns beside reports, or in their place; with no task and no table, nothing.

    An epoch has as many triplets as there are for training. Data sets share it by their weights,
    and the tasks of the run's own studies share what these get.

    Attributes:
      tasks: Task -> its weight among those made from the run's studies, which are the data set
        with the name of the source; see `tasks.TASKS`.
      tables: Data set -> a table of triplets.
      datasets: Data set -> its weight; 1 where nothing is said.
      held_out: Data sets that are never trained on: all of their triplets become test ones.
      exclude: Files with ids of studies that no triplet may be about, such as those that another
        source validates or tests with; see `exclusion.excluded_ids`. Their content counts.
      per_study: Tasks that are asked about one study, drawn for each by weight; None for all.
      unit: Studies or rows of a table in one unit of work.
    """

    tasks: dict[str, float] = dataclasses.field(default_factory=dict)
    tables: dict[str, TripletTable] = dataclasses.field(default_factory=dict)
    datasets: dict[str, float] = dataclasses.field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    exclude: tuple[str, ...] = local(())
    per_study: int | None = None
    unit: int = 256

    def __post_init__(self) -> None:
        """Checks names and weights."""
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"tasks: no task {task!r}{nearest(task, TASKS)}")
        for field in ("tasks", "datasets"):
            weights = getattr(self, field)
            for name, weight in weights.items():
                if not 0 <= weight < float("inf"):
                    raise ValueError(f"{field}.{name}={weight} is no weight; give 0 or more")
        if self.tasks and not any(self.tasks.values()):
            raise ValueError("tasks: all weights are 0; give one task more, or name none")
        if self.per_study is not None and self.per_study < 1:
            raise ValueError(f"per_study={self.per_study} asks nothing; give 1 or more")
        if self.unit < 1:
            raise ValueError(f"unit={self.unit} must be at least 1")

    @property
    def is_used(self) -> bool:
        """Whether there is a mixture."""
        return bool(self.tasks or self.tables)

    def group(self, triplet: Triplet) -> Group:
        """What a triplet shares its part of an epoch with."""
        return triplet.dataset, "" if triplet.dataset in self.tables else triplet.task

    def shares(self, source: str) -> dict[Group, float]:
        """What each group has of an epoch, 1 in all; those that have nothing are left out.

        Args:
          source: Name of the run's source.

        Raises:
          ValueError: a data set is named that there is not, or none has any weight.
        """
        there = [*([source] if self.tasks else ()), *self.tables]
        for field in ("datasets", "held_out"):
            for name in getattr(self, field):
                if name not in there:
                    raise ValueError(f"mixture.{field}: no data set {name!r}{nearest(name, there)}")
        if self.tasks and source in self.tables:
            raise ValueError(f"mixture.tables.{source}: the run's source has the same name")
        weights = {n: self.datasets.get(n, 1.0) for n in there if n not in self.held_out}
        if not any(weights.values()):
            raise ValueError(
                "mixture: no data set is left to train on, all are held out or have weight 0; "
                "give mixture.datasets a weight above 0, or hold less out"
            )
        found: dict[Group, float] = {}
        for name, weight in weights.items():
            parts = {"": 1.0} if name in self.tables else self.tasks
            for task, part in parts.items():
                found[name, task] = weight / sum(weights.values()) * part / sum(parts.values())
        return {group: share for group, share in found.items() if share}
