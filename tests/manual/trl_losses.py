"""Writes `tests/losses/trl.json`: values and gradients of TRL's losses on random log-probs.

TRL and what it needs do not go with this project's versions, so it stands in an environment of its
own:

    pip install torch==2.13.0 trl==0.12.2 "transformers<4.48"
    python tests/manual/trl_losses.py
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from trl import CPOTrainer, DPOTrainer, KTOTrainer, ORPOTrainer

FILE = Path(__file__).parents[1] / "losses" / "trl.json"
PAIRS, TOKENS = 5, 6
BETA = 0.2

DEVICE = SimpleNamespace(device="cpu", gather=lambda x: x)


def inputs():
    """Ragged random log-probabilities of policy and reference, f64[B, 2, R], and KTO's sums."""
    rng = np.random.default_rng(0)
    policy, reference = -rng.exponential(1.5, (2, PAIRS, 2, TOKENS))
    lengths = rng.integers(1, TOKENS + 1, (PAIRS, 2))
    mismatched = -rng.exponential(8, (2, PAIRS)) + [[2.0], [0.0]]
    arrays = {
        "logps": policy,
        "ref_logps": reference,
        "lengths": lengths,
        "mismatched": mismatched[0],
        "ref_mismatched": mismatched[1],
    }
    return {name: np.round(array, 4) for name, array in arrays.items()}


def trl_dpo(policy, reference, kl, *, type="sigmoid", smoothing=0.0, divergence=None, **numbers):
    trainer = SimpleNamespace(
        accelerator=DEVICE,
        reference_free=False,
        f_divergence_type=divergence or "reverse_kl",
        f_divergence_params=numbers,
        loss_type=type,
        beta=BETA,
        label_smoothing=smoothing,
    )
    return DPOTrainer.dpo_loss(trainer, *policy.T, *reference.T)[0]


def trl_cpo(policy, reference, kl, *, type, gamma=0.0):
    trainer = SimpleNamespace(
        accelerator=DEVICE, loss_type=type, beta=BETA, label_smoothing=0, simpo_gamma=gamma
    )
    return CPOTrainer.cpo_loss(trainer, *policy.T)[0]


def trl_orpo(policy, reference, kl):
    """With the likelihood of each row's own tokens, where TRL averages over those of a batch."""
    trainer = SimpleNamespace(accelerator=DEVICE, beta=BETA)
    return -policy[:, 0] - ORPOTrainer.odds_ratio_loss(trainer, *policy.T)[0]


def trl_kto(policy, reference, kl):
    trainer = SimpleNamespace(
        accelerator=DEVICE,
        calculate_KL=True,
        loss_type="kto",
        beta=BETA,
        desirable_weight=1.5,
        undesirable_weight=0.5,
    )
    sums = (*policy.T, kl[0], *reference.T, kl[1])
    return KTOTrainer.kto_loss(trainer, *sums)[0].reshape(2, -1).mean(0)


SUMS, MEANS = False, True
CASES = {
    # ours, its options beside beta, TRL's, its options, what it takes of each response
    "dpo": ("dpo", {}, trl_dpo, {}, SUMS),
    "dpo_smoothed": ("dpo", {"label_smoothing": 0.1}, trl_dpo, {"smoothing": 0.1}, SUMS),
    "robust": (
        "robust_dpo",
        {"label_smoothing": 0.2},
        trl_dpo,
        {"type": "robust", "smoothing": 0.2},
        SUMS,
    ),
    "hinge": ("hinge", {}, trl_dpo, {"type": "hinge"}, SUMS),
    "ipo": ("ipo", {}, trl_dpo, {"type": "ipo"}, MEANS),
    "apo_zero": ("apo_zero", {}, trl_dpo, {"type": "apo_zero"}, SUMS),
    "apo_down": ("apo_down", {}, trl_dpo, {"type": "apo_down"}, SUMS),
    "jensen_shannon": (
        "f_dpo",
        {"divergence": "jensen_shannon"},
        trl_dpo,
        {"divergence": "js_divergence"},
        SUMS,
    ),
    "alpha": (
        "f_dpo",
        {"divergence": "alpha", "order": 0.3},
        trl_dpo,
        {"divergence": "alpha_divergence", "alpha_divergence_coef": 0.3},
        SUMS,
    ),
    "kto": ("kto", {"desirable_weight": 1.5, "undesirable_weight": 0.5}, trl_kto, {}, SUMS),
    "orpo": ("orpo", {}, trl_orpo, {}, MEANS),
    "simpo": ("simpo", {"gamma": 0.3}, trl_cpo, {"type": "simpo", "gamma": 0.3}, MEANS),
    "cpo": ("cpo", {"alpha": 0.0}, trl_cpo, {"type": "sigmoid"}, SUMS),
}


def run(arrays, theirs, options, means):
    """Values of each pair, and the gradient of their sum for each token of the policy."""
    mask = torch.arange(TOKENS) < torch.tensor(arrays["lengths"])[..., None]
    logps = torch.tensor(arrays["logps"], requires_grad=True)
    policy, reference = (
        (x * mask).sum(-1) / (mask.sum(-1) if means else 1)
        for x in (logps, torch.tensor(arrays["ref_logps"]))
    )
    kl = torch.tensor(np.stack([arrays["mismatched"], arrays["ref_mismatched"]]))
    values = theirs(policy, reference, kl, **options)
    values.sum().backward()
    return values.detach().numpy(), logps.grad.numpy()


def main():
    arrays = inputs()
    cases = {}
    for name, (ours, extra, theirs, options, means) in CASES.items():
        values, gradient = run(arrays, theirs, options, means)
        cases[name] = {
            "loss": ours,
            "options": {"beta": BETA, **extra},
            "values": values.round(9).tolist(),
            "gradient": gradient.round(9).tolist(),
        }
    stored = {"inputs": {k: v.tolist() for k, v in arrays.items()}, "cases": cases}
    FILE.write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
