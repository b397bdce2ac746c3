"""CheXalign's claims, measured where the truth is known: on chest X-ray phantoms, over seeds.

    chexjax run --config=configs/study_phantom.py --workdir=runs/study

Which losses lengthen reports, and does length control stop it? Does what one judge prefers please
another? What does alignment cost on CheXbench's tasks, and does its gain hold on other people? What
do a noisy judge and noisy references do, and does fine-tuning make wrong reports likely too?

Each is a claim below, with the smallest difference that matters, before anything is run. The page
`comparison/comparison.html` and the tables of `comparison/claims.md` say which are seen. Arguments:
`seeds=K`, how many times all is done, with other phantoms and policies; `small`, which does the
same with two policies at toy size, for a look at the machinery.

Sizes: a seed has two policies by SFT, one of which learns from noisy references, of 8,192 studies
each; 12 aligned ones, each of the pairs of 640 studies; 384 held-out studies, 256 more of another
population, and 600 questions. Three seeds are 36 runs, 1.5 to 2 hours on two slow cores.
"""

from __future__ import annotations

import re

import ml_collections
import quickstart

from chexjax.config import arguments
from chexjax.data.phantom.findings import KINDS

# Losses that have a beta of DPO's kind share its value; nothing is tuned here.
_DPO = "loss.name=dpo loss.options.beta=0.5"
_KTO = "loss.name=kto loss.options.beta=0.5"
_POINTS = {
    "dpo": _DPO,
    "ipo": "loss.name=ipo loss.options.beta=0.5",
    "kto": _KTO,
    "orpo": "loss.name=orpo",
    "simpo": "loss.name=simpo",
    "lc_dpo": "loss.name=lc_dpo loss.options.beta=0.5 loss.options.alpha=0.05",
    # Pairs by a score that excess length divides, and pairs by another judge.
    "dpo_lc": f"judge.name=lc_green {_DPO}",
    "kto_lc": f"judge.name=lc_green {_KTO}",
    "dpo_rouge": f"judge.name=rouge_l {_DPO}",
    # A judge that is worse by a known amount, whose scores lie between 0 and 1.
    "noise_0.2": f"judge.noise=0.2 {_DPO}",
    "noise_0.6": f"judge.noise=0.6 {_DPO}",
    # Three of ten training references have an error, which SFT learns and the judge believes.
    "noisy": f"source.phantom.noise=0.3 {_DPO}",
}

_KEPT = 448
"""Steps of SFT, a quarter of all, after which the policy is kept to be set against its end."""

# Margins. The quickstart's three seeds (docs/quickstart.md) say what three can show: half the width
# of Student's interval, 2.48 times their standard deviation. DPO's gain was 0.098, 0.091 and 0.074,
# which gives 0.031, so 0.04 of the score can be shown, half of that gain. Words changed by -3.0,
# +2.8 and -4.6, which gives 9.7, so 10 words, two of five: the 2.5 times that CheXalign reports of
# DPO are far beyond, its 1.23 times with length control are not. ROUGE-L fell by 0.05 to 0.11,
# which gives about 0.075. Accuracy: of 600 questions one in ten is answered otherwise, so a seed's
# difference has a standard error of 0.013. Log-probabilities have no spread there: 0.02 nats a
# token is a twentieth of what SFT ends with, 0.5 nats a report the odds of 5 to 3.
#
# A claim; its two policies, the first less the second; the measure; what is expected; the margin.
_CLAIMS: tuple[tuple[str, str, str, str, str, float], ...] = (
    # Gain over SFT, by the oracle, of pairs that another judge chose.
    ("DPO scores higher than SFT", "dpo", "SFT", "score", "more", 0.04),
    ("IPO scores higher than SFT", "ipo", "SFT", "score", "more", 0.04),
    ("KTO scores higher than SFT", "kto", "SFT", "score", "more", 0.04),
    ("ORPO scores higher than SFT", "orpo", "SFT", "score", "more", 0.04),
    ("SimPO scores higher than SFT", "simpo", "SFT", "score", "more", 0.04),
    ("LC-DPO scores higher than SFT", "lc_dpo", "SFT", "score", "more", 0.04),
    ("DPO still does when length is controlled", "dpo", "SFT", "lc_score", "more", 0.08),
    # Length.
    ("DPO lengthens reports", "dpo", "SFT", "words", "more", 10),
    ("IPO lengthens reports", "ipo", "SFT", "words", "more", 10),
    ("SimPO keeps their length", "simpo", "SFT", "words", "same", 10),
    ("KTO keeps their length", "kto", "SFT", "words", "same", 10),
    ("KTO by length-controlled pairs keeps it", "kto_lc", "SFT", "words", "same", 10),
    ("LC-DPO writes shorter reports than DPO", "lc_dpo", "dpo", "words", "less", 10),
    ("DPO by length-controlled pairs writes shorter ones", "dpo_lc", "dpo", "words", "less", 10),
    # From one judge to another.
    ("What GREEN prefers has higher ROUGE-L", "dpo", "SFT", "rouge_l", "more", 0.075),
    ("What ROUGE-L prefers scores higher", "dpo_rouge", "SFT", "score", "more", 0.04),
    ("GREEN's pairs teach more than ROUGE-L's", "dpo", "dpo_rouge", "score", "more", 0.04),
    # The alignment tax.
    ("DPO costs no accuracy", "dpo", "SFT", "accuracy", "same", 0.04),
    ("KTO costs no accuracy", "kto", "SFT", "accuracy", "same", 0.04),
    # Other people, with all kinds of finding and fewer prior studies.
    ("DPO's gain holds on other people", "dpo", "SFT", "elsewhere_score", "more", 0.04),
    # Noise.
    ("DPO gains by a judge with little noise", "noise_0.2", "SFT", "score", "more", 0.04),
    ("DPO gains by a judge with much noise", "noise_0.6", "SFT", "score", "more", 0.04),
    ("Much noise of the judge costs score", "noise_0.6", "dpo", "score", "less", 0.04),
    ("Noisy references cost SFT score", "noisy/SFT", "dpo/SFT", "score", "less", 0.04),
    ("DPO gains by noisy references", "noisy", "SFT", "score", "more", 0.04),
    ("Noisy references cost DPO score", "noisy", "dpo", "score", "less", 0.04),
    # What becomes likely: held-out references, as they are and with an error put in.
    (
        "SFT makes wrong reports likelier",
        "SFT",
        f"SFT@{_KEPT}",
        "logp_false_per_token",
        "more",
        0.02,
    ),
    ("SFT parts right from wrong", "SFT", f"SFT@{_KEPT}", "logp_gap", "more", 0.5),
    ("DPO makes wrong reports less likely", "dpo", "SFT", "logp_false_per_token", "less", 0.02),
    ("DPO makes right reports less likely too", "dpo", "SFT", "logp_true_per_token", "less", 0.02),
    ("DPO parts right from wrong", "dpo", "SFT", "logp_gap", "more", 0.5),
)

_MEASURES = (
    *("score", "lc_score", "words", "length", "rouge_l", "elsewhere_score", "accuracy", "tau"),
    *("logp_true_per_token", "logp_false_per_token", "logp_gap"),
)


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The study's config."""
    given = arguments(arg, small=False, seeds=3)
    # IPO of the quickstart, so that no option of another loss is set before a point sets its own.
    config = quickstart.get_config(f"{'small,' if given.small else ''}loss=ipo")
    held_out, elsewhere = (16, 8) if given.small else (384, 256)
    config.source.phantom.update(validate=8 if given.small else 64, test=held_out)
    config.sft.checkpoint_every = config.sft.keep_every = 4 if given.small else _KEPT
    config.chexbench.update(questions="studies", protocols=("mean",))
    config.chexbench.count = 4 if given.small else 100
    if not given.small:
        config.sample.studies = 640
    sweep, kinds = config.sweep, str(tuple(KINDS)).replace(" ", "")
    names = ("dpo", "noise_0.2") if given.small else tuple(_POINTS)
    seeds = range(min(given.seeds, 2) if given.small else given.seeds)
    sweep.repeat, sweep.select = "seed", False  # what is asked is claimed, no winner is sought
    sweep.axes["seed"] = tuple(f"seed{k}: seed={k} source.phantom.seed={k}" for k in seeds)
    sweep.axes["run"] = tuple(f"{name}: {_POINTS[name]}" for name in names)
    sweep.select_by = "rouge_l" if given.small else "oracle"
    sweep.elsewhere = (
        f"source.phantom.train=0 source.phantom.validate=0 source.phantom.test={elsewhere} "
        f"source.phantom.seed=1000 source.phantom.prior=0.2 source.phantom.kinds={kinds}"
    )
    sweep.measures = _MEASURES
    sweep.claims = tuple(
        f"{sentence}: of={of} minus={minus} measure={measure} expect={expect} margin={margin}"
        for sentence, of, minus, measure, expect, margin in _CLAIMS
        if {re.split("[/@]", side)[0] for side in (of, minus)} <= {*names, "SFT"}
    )
    if given.small:
        sweep.claims = tuple(claim.replace(f"@{_KEPT}", "@4") for claim in sweep.claims)
    return config
