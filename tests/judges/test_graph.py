"""RadGraph F1 on graphs: values worked out by hand from the published package's definitions."""

import pytest

from chexjax.judges.graph import LEVELS, Entity

# "Small left effusion. No pneumothorax."
REFERENCE = (
    Entity("Small", "OBS-DP", (("modify", 2),), 0, 0),
    Entity("left", "ANAT-DP", (), 1, 1),
    Entity("effusion", "OBS-DP", (("located_at", 1),), 2, 2),
    Entity("pneumothorax", "OBS-DA", (), 5, 5),
)


def scores(reference, candidate):
    return {name: level(reference, candidate) for name, level in LEVELS.items()}


def test_equal_graphs_agree_on_all_levels():
    assert scores(REFERENCE, REFERENCE) == dict.fromkeys(LEVELS, 1.0)


def test_levels_compare_what_they_say():
    candidate = (
        Entity("left", "ANAT-DP"),
        Entity("effusion", "OBS-DP"),  # its place is not told
        Entity("pneumothorax", "OBS-DA"),
        Entity("edema", "OBS-U", (("suggestive_of", 1),)),
    )
    # Entities: 3 of 4 and 4 shared. With the flag 2 of them: effusion has no relation here.
    # Complete: the reference has two relations and left and pneumothorax, the candidate one
    # relation and left, effusion, pneumothorax; left and pneumothorax are shared.
    # Combined: entities 0.75; no relation of 2 and 1 is shared.
    assert scores(REFERENCE, candidate) == {
        "simple": pytest.approx(0.75),
        "partial": pytest.approx(0.5),
        "complete": pytest.approx(0.5),
        "combined": pytest.approx(0.375),
    }


def test_an_entity_said_twice_counts_once():
    twice = (*REFERENCE, Entity("pneumothorax", "OBS-DA", (), 9, 9))
    assert scores(REFERENCE, twice) == dict.fromkeys(LEVELS, 1.0)


def test_the_other_label_makes_another_entity():
    candidate = (*REFERENCE[:3], Entity("pneumothorax", "OBS-DP"))
    found = scores(REFERENCE, candidate)
    assert found["simple"] == found["partial"] == found["complete"] == 0.75
    assert found["combined"] == pytest.approx((0.75 + 1) / 2)


def test_complete_does_not_look_at_the_label_of_the_other_entity_and_combined_does():
    candidate = (REFERENCE[0], REFERENCE[1], Entity("effusion", "OBS-U", (("located_at", 1),)))
    reference = REFERENCE[:3]
    # small -modify-> effusion and left are shared, effusion itself is not: 2 of 3 and 3.
    assert LEVELS["complete"](reference, candidate) == pytest.approx(2 / 3)
    # Entities 2 of 3 and 3; of the relations none, since effusion is an end of both.
    assert LEVELS["combined"](reference, candidate) == pytest.approx(1 / 3)


def test_only_complete_overlooks_the_case_and_only_of_what_has_relations():
    upper = (Entity("SMALL", "OBS-DP", (("modify", 1),)), Entity("Effusion", "OBS-DP"))
    lower = (Entity("small", "OBS-DP", (("modify", 1),)), Entity("effusion", "OBS-DP"))
    found = scores(upper, lower)
    assert found["simple"] == found["partial"] == found["combined"] == 0.0
    assert found["complete"] == 0.5


@pytest.mark.parametrize("pair", [((), ()), (REFERENCE, ()), ((), REFERENCE)])
def test_a_graph_without_entities_agrees_with_none(pair):
    assert scores(*pair) == dict.fromkeys(LEVELS, 0.0)


def test_two_equal_reports_without_relations_have_half_of_combined():
    graph = (Entity("lungs", "ANAT-DP"), Entity("clear", "OBS-DP"))
    assert scores(graph, graph) == {"simple": 1, "partial": 1, "complete": 1, "combined": 0.5}
