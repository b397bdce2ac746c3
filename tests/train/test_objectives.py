"""What preference objectives hand to losses, against plain forwards."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from chexjax.families import Family, preset
from chexjax.losses import (
    DPO,
    IPO,
    KTO,
    LOSSES,
    ORPO,
    Mismatched,
    PromptTokens,
    Responses,
    build,
)
from chexjax.models import Prefix
from chexjax.testing import assert_close, packed, random_batch, random_policy
from chexjax.train import SFT, Preference
from chexjax.train.objectives import prompt_logprobs, response_logprobs

FAMILY = preset("chexagent2_nano", Family)
MIXED = {"dpo": 1.0, "kto": 0.5, "orpo__nll": "prompt", "orpo": 0.1, "dpo__beta": 0.3}
GRAPH, PARAMS = nnx.split(random_policy(FAMILY))


def on_model(function, *arguments):
    """Runs a function of the model, jitted."""
    return jax.jit(lambda params, *rest: function(nnx.merge(GRAPH, params), *rest))(
        PARAMS, *arguments
    )


def head_gradient(value):
    """Gradient of a number for the vocabulary projection: the quickest to compile."""
    graph, head, rest = nnx.split(nnx.merge(GRAPH, PARAMS), lambda path, _: "head" in path, ...)
    return jax.jit(jax.grad(lambda p: value(nnx.merge(graph, p, rest))))(head)


@dataclasses.dataclass(frozen=True)
class Keep:
    """A loss that keeps what it was given."""

    needs: frozenset
    kept: list

    def __call__(self, responses: Responses):
        self.kept.append(responses)
        return DPO()(responses)


def handed(batch, needs):
    """The responses that a loss with such needs is handed."""

    def run(model, batch):
        kept = []
        Preference(Keep(needs=needs, kept=kept))(model, batch)
        return kept[0]

    return on_model(run, batch)


def test_every_loss_has_the_value_and_gradient_of_a_batch_with_nothing_shared():
    """Packed, one prefix for all, KTO's responses beside, exponentials kept; against a row for
    each response behind a prompt of its own. The gradient is the vocabulary's.
    """
    batch = random_batch(FAMILY, images=(0, 1, 2, 1), responses=3, padding=2)
    fast = packed(batch, groups=2, scored_only=1)
    plain = {name: batch[name].reshape(12, 1, -1) for name in ("inputs", "targets", "mask")}
    plain["prefix"] = {name: np.repeat(x, 3, axis=0) for name, x in batch["prefix"].items()}
    plain["real"] = np.ones(12, bool)
    graph, head, rest = nnx.split(nnx.merge(GRAPH, PARAMS), lambda path, _: "head" in path, ...)

    def shared(head):
        kept = []
        loss = Keep(needs=frozenset({"mismatched", "prompt"}), kept=kept)
        Preference(loss, keep=True)(nnx.merge(graph, head, rest), fast)
        return kept[0].logps, kept[0].mismatched.logps, kept[0].prompt.logps

    def alone(head):
        logps, prompt = prompt_logprobs(nnx.merge(graph, head, rest), plain)
        logps = logps.reshape(4, 3, -1)
        last = jax.lax.stop_gradient(logps[:, 2].sum(-1))
        return logps[:, :2], last, prompt.logps[::3]

    def value(parts, loss):
        logps, last, prompt = parts
        ones = np.ones(4, bool)
        return loss(
            Responses(
                logps=logps,
                ref_logps=batch["ref_logps"][:, :2],
                mask=batch["mask"][:, :2],
                valid=ones,
                rewards=batch["rewards"][:, :2],
                mismatched=Mismatched(logps=last, ref_logps=-9 * np.ones(4), valid=ones),
                prompt=PromptTokens(logps=prompt, count=batch["prefix"]["valid"].sum(-1)),
            )
        ).value.sum()

    def on(path):
        parts = jax.jit(path)(head)
        pull = jax.jit(lambda head, slopes: jax.vjp(path, head)[1](slopes)[0])
        losses = {name: build(name, MIXED if name == "mixture" else {}) for name in LOSSES}
        totals = {name: jax.value_and_grad(value)(parts, loss) for name, loss in losses.items()}
        return {name: (total, pull(head, slopes)) for name, (total, slopes) in totals.items()}

    ours, by_hand = on(shared), on(alone)
    for name in LOSSES:
        assert_close(ours[name][0], by_hand[name][0], rtol=1e-5)
        assert_close(ours[name][1], by_hand[name][1], rtol=1e-4)


def test_log_probs_of_the_prompt_are_those_of_one_stream():
    """The prompt as a response to nothing; texts of different lengths."""
    batch = random_batch(FAMILY, images=(0, 0, 0))
    prefix = Prefix(**batch["prefix"])
    length = prefix.valid.sum(-1)
    whole = np.concatenate([prefix.tokens, np.zeros((3, 1), np.int32)], axis=1)
    whole[np.arange(3), length] = batch["inputs"][:, 0, 0]
    nothing = Prefix(
        tokens=np.zeros((3, 1), np.int32),
        valid=np.zeros((3, 1), bool),
        images=prefix.images,
        placeholder=np.zeros((3, 1), bool),
    )
    alone = {
        "prefix": vars(nothing),
        "inputs": whole[:, None, :-1],
        "targets": whole[:, None, 1:],
        "mask": np.asarray(prefix.valid)[:, None],
    }
    expected = on_model(response_logprobs, alone).sum((1, 2))
    logps, prompt = on_model(prompt_logprobs, batch)
    assert_close(prompt.logps, expected, rtol=1e-5)
    np.testing.assert_array_equal(prompt.count, length)
    assert_close(logps, on_model(response_logprobs, batch), rtol=1e-5)


def with_visual_tokens(batch):
    """The batch with tokens for its images, as a cache holds them: zeros where there are none."""
    prefix = dict(batch["prefix"])
    visual = np.array(on_model(lambda model, x: model.encode_images(x), prefix.pop("images")))
    read = prefix["placeholder"].sum(-1)
    visual[np.arange(visual.shape[1]) >= read[:, None]] = 0
    return batch | {"prefix": prefix | {"visual": visual}}


def test_visual_tokens_in_place_of_images_change_no_log_prob():
    batch = random_batch(FAMILY, images=(0, 1, 2))
    cached = with_visual_tokens(batch)
    expected = on_model(response_logprobs, batch)
    np.testing.assert_allclose(on_model(response_logprobs, cached), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="either `images` or `visual`"):
        both = cached["prefix"] | {"images": batch["prefix"]["images"]}
        on_model(response_logprobs, cached | {"prefix": both})


def test_images_are_no_text_of_the_prompt():
    batch = random_batch(FAMILY, images=(0, 1, 2))
    _, prompt = on_model(prompt_logprobs, batch)
    text = batch["prefix"]["valid"] & ~batch["prefix"]["placeholder"]
    np.testing.assert_array_equal(prompt.count, text.sum(-1))
    np.testing.assert_array_equal(prompt.count[0], batch["prefix"]["valid"][0].sum())


def test_a_mismatched_response_is_scored_under_the_prompt_that_it_stands_behind():
    batch = random_batch(FAMILY, images=(0, 1, 2), responses=3)
    labels = np.asarray([[1, 0], [0, 1], [0, 0]], np.float32)  # of what is not mismatched
    given = handed({**batch, "desirable": labels}, KTO.needs)
    np.testing.assert_array_equal(given.desirable, labels == 1)
    logps = on_model(response_logprobs, batch)
    assert given.logps.shape[1] == 2
    assert_close(given.logps, logps[:, :2], rtol=1e-5)
    assert_close(given.mismatched.logps, logps[:, 2].sum(-1), rtol=1e-5)
    np.testing.assert_allclose(
        given.mismatched.ref_logps, batch["ref_logps"][:, 2].sum(-1), rtol=1e-6
    )


def test_mismatched_responses_have_no_gradient():
    """The gradient is that of KTO with its reference point put in by hand."""
    batch = random_batch(FAMILY, images=(0, 1), responses=3)
    batch["ref_logps"] -= 8 * batch["mask"]

    point = handed(batch, KTO.needs).mismatched

    def total(model, given):
        if not given:
            return Preference(KTO())(model, batch).value.sum()
        responses = Responses(
            logps=response_logprobs(model, batch)[:, :2],
            ref_logps=batch["ref_logps"][:, :2],
            mask=batch["mask"][:, :2],
            valid=batch["real"],
            rewards=batch["rewards"],
            mismatched=point,
        )
        return KTO()(responses).value.sum()

    ours, by_hand = (head_gradient(lambda m, x=given: total(m, x)) for given in (False, True))
    assert_close(ours, by_hand, rtol=1e-4)


def test_other_losses_are_logged_from_the_same_pass():
    batch = random_batch(FAMILY, images=(0, 1))
    beside = {"ipo": IPO(), "kto": KTO(), "orpo": ORPO(), "slic": build("slic", {})}
    rows = on_model(lambda m, b: Preference(DPO(), beside=beside)(m, b), batch)
    alone = on_model(lambda m, b: Preference(IPO())(m, b), batch)
    total, count = rows.metrics["beside/ipo/loss"]
    np.testing.assert_allclose(total, alone.value.sum(), rtol=1e-5)
    assert count == 2
    np.testing.assert_allclose(
        rows.metrics["beside/ipo/margins"], alone.metrics["rewards/margins"], rtol=1e-5
    )
    assert "beside/orpo/loss" in rows.metrics and "beside/slic/loss" in rows.metrics
    assert not any(name.startswith("beside/kto") for name in rows.metrics)


def test_logging_changes_no_gradient():
    batch = random_batch(FAMILY, images=(0, 1))

    def gradient(**options):
        return head_gradient(lambda m: Preference(DPO(), **options)(m, batch).value.sum())

    assert_close(gradient(beside={"ipo": IPO()}), gradient(), rtol=1e-6)


@pytest.mark.parametrize("loss", [IPO(), ORPO(nll="prompt")], ids=["ipo", "orpo"])
def test_a_loss_without_its_reference_is_an_error_that_says_what_to_run(loss):
    batch = random_batch(FAMILY, images=(0, 1))
    del batch["ref_logps"]
    if "reference" in loss.needs:
        with pytest.raises(ValueError, match="run the reference stage"):
            on_model(lambda m, b: Preference(loss)(m, b), batch)
    else:
        rows = on_model(lambda m, b: Preference(loss)(m, b), batch)
        assert np.isfinite(rows.value).all()


def test_supervised_tokens_count_by_their_weights():
    batch = random_batch(FAMILY, responses=2)
    weights = np.random.default_rng(0).random(batch["mask"].shape, np.float32)

    def rows(model, batch):
        terms = SFT()(model, batch)
        return terms.value, terms.weight, response_logprobs(model, batch)

    value, weight, logps = on_model(rows, {**batch, "weights": weights})
    kept = weights * batch["mask"]
    assert_close(value, -(np.asarray(logps) * kept).sum((1, 2)), rtol=1e-5)
    assert_close(weight, kept.sum((1, 2)), rtol=1e-6)
    value, weight, _ = on_model(rows, batch)
    assert_close(value, -np.asarray(logps).sum((1, 2)), rtol=1e-5)
    assert weight.tolist() == batch["mask"].sum((1, 2)).tolist()
