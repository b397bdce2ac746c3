"""The same DPO step by TRL's own `DPOTrainer`, on transformers' LLaVA (extra `bench`).

What a step here times is TRL's `training_step` - policy and reference on every chosen and rejected
sequence with its image, TRL's loss and metrics, the backward - and then its optimizer, its schedule
and the clearing of gradients, as its loop calls them. Batches are made before and have the layout
of TRL's vision collator: chosen rows, then rejected ones, padded on the right to the longest; each
pair's image stands there twice. TRL refuses to precompute reference log-probs of images, so the
reference is always in the step. Its default of computing activations twice (gradient checkpointing)
is off, since memory suffices; so are half precision, decay and clipping, which the work has not.

Off the GPU, TRL's head scores every position, prompt and padding too. On one it scores response
positions alone; `compact` has it do so here as well, by giving TRL's own code the GPU's answer.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import tokenizers
import torch
import transformers
import trl
from torch import Tensor

from chexjax.perf import work as work_of
from chexjax.perf.peers.llava import IMAGE, make_model, pixels
from chexjax.perf.work import Work

_PAD = 0  # an id that no text of the work has


def make_trainer(work: Work, *, compact: bool) -> trl.DPOTrainer:
    """TRL's trainer with its optimizer, policy and reference alike.

    Args:
      work: What it will be given.
      compact: Score response positions alone, in every trainer of this process.
    """
    if compact:
        trl.trainer.utils._use_triton = lambda _: True  # its kernels ask another module's
    torch.manual_seed(0)
    model = make_model(work)
    with tempfile.TemporaryDirectory() as folder:  # made by it, and never written to
        trainer = trl.DPOTrainer(
            model=model,
            ref_model=copy.deepcopy(model),
            args=trl.DPOConfig(
                output_dir=folder,
                beta=work_of.BETA,
                learning_rate=work_of.RATE,
                lr_scheduler_type="constant",
                per_device_train_batch_size=work.pairs,
                gradient_checkpointing=False,
                bf16=False,
                max_length=None,
                report_to="none",
            ),
            train_dataset=datasets.Dataset.from_dict(
                {"images": [[]], "prompt": [""], "chosen": [""], "rejected": [""]}
            ),
            processing_class=_processor(),
        )
    trainer.current_gradient_accumulation_steps = 1  # its loop sets it
    trainer.create_optimizer_and_scheduler(num_training_steps=1)
    trainer.model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    return trainer


def make_step(work: Work, *, compact: bool) -> Callable[[dict[str, Tensor]], float]:
    """TRL's step: a batch of `prepare` to its loss."""
    trainer = make_trainer(work, compact=compact)

    def step(batch: dict[str, Tensor]) -> float:
        loss = trainer.training_step(trainer.model, dict(batch))
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        trainer.model.zero_grad()
        return loss.item()

    return step


def prepare(batch: dict[str, Any]) -> dict[str, Tensor]:
    """A batch of `work.batch` as TRL's vision collator lays it out; its rows are `2 * pairs`."""
    prefix, inputs = batch["prefix"], batch["inputs"]
    # Ours counts the prompt's last token as the first input of the responses.
    visual = np.where(prefix["placeholder"], IMAGE, prefix["tokens"])
    prompt = np.concatenate([visual, inputs[:, 0, :1]], axis=1)
    answers = batch["targets"].swapaxes(0, 1).reshape(-1, inputs.shape[2])
    real = batch["mask"].swapaxes(0, 1).reshape(answers.shape)
    prompts = np.concatenate([prompt, prompt])
    seen = np.concatenate([np.ones_like(prompts), real], axis=1)
    scored = np.concatenate([np.zeros_like(prompts), real], axis=1)
    return {
        "input_ids": torch.tensor(np.concatenate([prompts, answers], axis=1)).long(),
        "attention_mask": torch.tensor(seen).long(),
        "completion_mask": torch.tensor(scored).long(),
        "pixel_values": pixels(np.concatenate([prefix["images"][:, 0]] * 2)),
    }


def _processor() -> transformers.LlavaProcessor:
    """What tells TRL that the policy sees images; batches come prepared, so it is not called."""
    words = tokenizers.models.WordLevel({"<pad>": _PAD, "<image>": IMAGE}, unk_token="<pad>")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(words), pad_token="<pad>"
    )
    return transformers.LlavaProcessor(transformers.SiglipImageProcessorPil(), tokenizer)
