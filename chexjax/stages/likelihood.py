"""How likely held-out references are to a policy, and the same with one error put into each.

Fine-tuning makes reports likely that sound like the references, right or wrong; alignment is to
part the two. What becomes of either is measured where it is known which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.config import ConfigError
from chexjax.data.study import Study
from chexjax.judges.edits import falsified
from chexjax.models import LanguageModel
from chexjax.rng import hash_words
from chexjax.rows import Reject, Rows, Unit, map_units
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Item, make_examples
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import KEPT, load_policy, load_tokens
from chexjax.stages.sample import first_of
from chexjax.stages.scoring import Scorer
from chexjax.trackers import StageTimer
from chexjax.weights import load_model


def likelihood(policy: Stage, step: int | None = None) -> Stage:
    """The stage that scores held-out references, right and wrong, under a policy.

    Args:
      policy: What makes the policy.
      step: Which of the steps that were kept on the way there; None for its end.
    """
    name = policy.folder if step is None else f"{policy.folder}@{step}"

    def work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
        config, studies = context.config.evaluate, context.artefact(INGEST).rows()
        source = context.artefact(policy)
        tokens = load_tokens(context.family, source)
        held_out = first_of(studies, config.split, config.studies)
        items, rejects = twins(studies, held_out, context.config.seed)
        examples, unfit = make_examples(items, tokens)
        if not examples:
            reason = (rejects + unfit)[0].reason
            raise ArtefactError(f"no report of {config.split!r} can be scored: {reason}")
        model = load_policy(context, source) if step is None else _kept(context, source, step)
        scorer = Scorer(context, model, examples, studies, tokens, unit=config.unit)

        def unit(number: int) -> Unit:
            rows = [_row(example.id, *logps) for example, logps in scorer.score(number)]
            return Unit(rows, rejects + unfit if number == 0 else [])

        return map_units(draft, scorer.units, unit, describe=f"likelihood, {name}")

    return Stage(
        name=f"likelihood, {name}",
        folder=f"likelihood/{name}",
        kind="likelihood",
        fields=("seed", "policy", "evaluate"),
        reads=(INGEST, policy),
        work=work,
        shared=True,
        extra=lambda _: {} if step is None else {"step": step},
    )


def twins(studies: Rows, held_out: Sequence[int], seed: int) -> tuple[list[Item], list[Reject]]:
    """Each study's reference beside its falsified twin, and the studies that have none."""
    items, rejects = list[Item](), list[Reject]()
    for row in held_out:
        study = Study.from_row(studies[row])
        rng = np.random.default_rng([seed, *hash_words(study.id).tolist()])
        wrong = falsified(study.findings, rng)
        if wrong is None:
            rejects.append(Reject(study.id, "nothing in the reference has an opposite"))
        else:
            items.append((study, row, [study.findings, wrong], {}))
    return items, rejects


def _kept(context: Context, policy: Artefact, step: int) -> LanguageModel:
    """The policy as it was at a step on the way.

    Raises:
      ConfigError: that step was not kept.
    """
    folder = policy.path / KEPT
    if not (folder / str(step)).is_dir():
        there = sorted(int(one.name) for one in folder.glob("*") if one.name.isdecimal())
        raise ConfigError(
            f"{policy.path} has kept steps {there}, not {step}; name one of these, or set "
            "config.sft.keep_every and delete the folder"
        )
    model: LanguageModel = load_model(
        folder / str(step), context.family, mesh=context.mesh, **context.compute
    )
    return model


def _row(study: str, right: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Sums over the tokens of a report, its end included, and how many they are."""
    return {
        "id": study,
        "logp_true": float(right.sum()),
        "logp_false": float(wrong.sum()),
        "tokens_true": len(right),
        "tokens_false": len(wrong),
    }
