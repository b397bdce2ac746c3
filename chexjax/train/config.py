"""How a policy is trained: the fields of `config.sft` and `config.align.train`."""

from __future__ import annotations

import dataclasses
from typing import Literal

from chexjax.checkpoint import Keep
from chexjax.config import local
from chexjax.models import REMAT, LoRAConfig

_LESS_IS_BETTER = ("loss", "grad_norm")
_MORE_IS_BETTER = ("rewards/chosen", "rewards/margins", "rewards/accuracies")
_MODES: dict[str, Literal["least", "most"]] = {"min": "least", "max": "most"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay.

    Attributes:
      learning_rate: Peak.
      warmup_share: Share of all steps that warm up, 0 to 1.
      final_share: Learning rate at the end, as a share of the peak.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      weight_decay: Applied to kernels, not to norms, biases or embeddings.
      clip: Global gradient norm above which gradients are scaled down.
    """

    learning_rate: float = 1e-3
    warmup_share: float = 0.1
    final_share: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Checks ranges."""
        for name in ("warmup_share", "final_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not within 0 and 1")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate={self.learning_rate} must be above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
      batch_size: Rows of a global batch, over all devices and micro-batches.
      accumulate: Micro-batches that a batch is cut into to save memory.
      total_steps: Length of the run; exactly one of the three durations is set.
      total_epochs: Length in passes over the data.
      total_examples: Length in rows.
      buckets: Padded shapes, and so compiled programs, at most.
      freeze: Regexes over parameter paths that are left untouched.
      lora: Adapters, which are then all that is trained; they are merged when the run is done.
      remat: What is kept for the backward pass; see `models.block.REMAT`.
      keep_exponentials: Keep those of the logits for it, too: they are response tokens times
        vocabulary in size, and save the head a quarter of its arithmetic.
      optimizer: See `OptimizerConfig`.
      non_finite: What to do about a step whose loss or gradient is not finite: `skip` leaves the
        parameters as they were, names the rows and goes on; `stop` gives the run up.
      checkpoint_every: Steps between checkpoints.
      keep_every: Checkpoints at multiples of so many steps stay when training is done, as Hugging
        Face folders `kept/STEP` of the artefact; 0 for none. While it lasts each takes the room of
        the whole training state.
      keep_best: The same for the checkpoint with the best mean of a metric of `metrics.jsonl` over
        the steps since the one before. `loss` is best where it is least, `rewards/margins` where it
        is most; any other metric is written as `min:NAME` or `max:NAME`. Empty for none.
      log_every: Steps between lines of `metrics.jsonl`.
    """

    batch_size: int = 32
    accumulate: int = 1
    total_steps: int | None = None
    total_epochs: float | None = None
    total_examples: int | None = None
    buckets: int = 1
    freeze: tuple[str, ...] = ()
    lora: LoRAConfig = LoRAConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    remat: str = local("matmuls")
    keep_exponentials: bool = local(False)
    non_finite: Literal["skip", "stop"] = "skip"
    checkpoint_every: int = local(200)
    keep_every: int = local(0)
    keep_best: str = local("")
    log_every: int = local(10)

    def __post_init__(self) -> None:
        """Checks that a batch can be cut, the policy's name, and what is kept."""
        if self.remat not in REMAT:
            raise ValueError(f"remat={self.remat!r} is none of {', '.join(REMAT)}")
        if self.batch_size < 1 or self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} is no multiple of accumulate={self.accumulate}"
            )
        if self.checkpoint_every < 1:
            raise ValueError(f"checkpoint_every={self.checkpoint_every} must be at least 1")
        if self.keep_every < 0 or self.keep_every % self.checkpoint_every:
            raise ValueError(
                f"keep_every={self.keep_every} is no multiple of "
                f"checkpoint_every={self.checkpoint_every}, at which checkpoints are saved"
            )
        _ = self.ranking

    @property
    def ranking(self) -> tuple[str, Literal["least", "most"]]:
        """Which metric ranks checkpoints, and whether the `least` or the `most` of it is best.

        Raises:
          ValueError: it is not known which; the message says how to write it.
        """
        mode, colon, name = self.keep_best.rpartition(":")
        if colon and mode in _MODES and name:
            return name, _MODES[mode]
        if self.keep_best in ("", *_LESS_IS_BETTER, *_MORE_IS_BETTER):
            return self.keep_best, "most" if self.keep_best in _MORE_IS_BETTER else "least"
        raise ValueError(
            f"keep_best={self.keep_best!r}: say whether the least or the most of it is best; write "
            f"min:{name or 'NAME'} or max:{name or 'NAME'}"
        )

    @property
    def keep(self) -> Keep:
        """Which checkpoints stay."""
        name, best = self.ranking
        return Keep(every=self.keep_every, best=best if name else "")
