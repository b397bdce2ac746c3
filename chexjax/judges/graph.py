"""Entities and relations of a report as a graph, and how far two graphs agree (RadGraph F1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Entity:
    """A few words of a report that name an anatomy or an observation.

    Attributes:
      tokens: The words, joined by blanks.
      label: Such as ANAT-DP, OBS-DP (definitely present), OBS-U (uncertain) or OBS-DA (definitely
        absent); models of other years have other labels.
      relations: (kind, number of the other entity in the graph, from 0) of each relation that
        starts here: `modify`, `located_at` or `suggestive_of`.
      start: Number of the first word in the report.
      end: Number of the last one.
    """

    tokens: str
    label: str
    relations: tuple[tuple[str, int], ...] = ()
    start: int = 0
    end: int = 0


Graph = tuple[Entity, ...]
"""Entities in the order of the report."""


def f1(wanted: set[Any], found: set[Any]) -> float:
    """Harmonic mean of precision and recall of two sets; 0 where nothing is shared."""
    shared = len(wanted & found)
    return 2 * shared / (len(wanted) + len(found)) if shared else 0.0


def _entities(graph: Graph) -> set[Hashable]:
    return {(one.tokens, one.label) for one in graph}


def _flagged(graph: Graph) -> set[Hashable]:
    return {(one.tokens, one.label, bool(one.relations)) for one in graph}


def _related(graph: Graph) -> set[Hashable]:
    found: set[Hashable] = {(one.tokens, one.label) for one in graph if not one.relations}
    return found | {
        (one.tokens.lower(), one.label, kind, graph[to].tokens.lower())
        for one in graph
        for kind, to in one.relations
    }


def _edges(graph: Graph) -> set[Hashable]:
    def named(one: Entity) -> tuple[str, str]:
        return one.tokens, one.label

    return {(named(one), named(graph[to]), kind) for one in graph for kind, to in one.relations}


def simple(reference: Graph, candidate: Graph) -> float:
    """F1 of the sets of (tokens, label)."""
    return f1(_entities(reference), _entities(candidate))


def partial(reference: Graph, candidate: Graph) -> float:
    """F1 where it counts too whether an entity has any relation; papers' "RG_ER"."""
    return f1(_flagged(reference), _flagged(candidate))


def complete(reference: Graph, candidate: Graph) -> float:
    """F1 of relations, (tokens, label, kind, the other's tokens), and of entities without any.

    As in the published package the label of the other entity is not compared, and only the words
    of entities with relations are put in lower case; so this can be more than `simple`.
    """
    return f1(_related(reference), _related(candidate))


def combined(reference: Graph, candidate: Graph) -> float:
    """What RadCliQ reads: the mean of the F1 of entities and the F1 of relations with both labels.

    Two equal reports without any relation get 0.5 (Yu et al., Patterns 2023).
    """
    edges = f1(_edges(reference), _edges(candidate))
    return (simple(reference, candidate) + edges) / 2


LEVELS: Mapping[str, Callable[[Graph, Graph], float]] = {
    "simple": simple,
    "partial": partial,
    "complete": complete,
    "combined": combined,
}
"""What is compared, by name; all are in 0..1, and 0 where either graph has no entity."""
