"""A tokenizer made for one judge: what every answer says is one token, and so is a common word."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from chexjax.judges.answer import CATEGORIES, judgement, write_judgement
from chexjax.judges.explanation import LEAD, OUTCOMES

END = "</s>"
QUESTION = "\n[Reference]: {reference}\n[Candidate]: {candidate}\n\n"
"""What a judge that was trained here is asked."""

_PHRASES = (
    "; no",
    ", none",
    "; change",
    " false:",
    " missing:",
    " location:",
    " location not given:",
    " severity:",
    " contradicts itself:",
    " comparison omitted:",
    " comparison not in the reference:",
)
"""What explanations and items say again and again."""

_WORDS = r" ?[a-z]+| ?[0-9]|\s+| ?[^a-z0-9\s]"


def fixed_texts() -> list[str]:
    """The runs of text that are one token each: of every question, of every answer, of many.

    A label is one with the blank behind it, and once more with the zero in front of it, which most
    categories have.
    """
    none = dict.fromkeys(CATEGORIES, 0)
    plain = write_judgement(judgement(0, none, none, []), "{}")
    answer = [part for part in re.split(r"\{\}|(?<=[:\n] )0|(?<=\n)0", plain) if part != "."]
    labels = [part for part in answer if part.startswith(".")]
    opening, *rest = answer
    parts = [opening + LEAD.rstrip(), *rest, *(f"0{label}" for label in labels)]
    question = re.split(r"\s?\{\w+\}", QUESTION)
    outcomes = [f": {name}" for name in OUTCOMES.values()]
    return [*dict.fromkeys([*question, *parts, *outcomes, *_PHRASES])]


def train_vocabulary(texts: Iterable[str], rows: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE on lower-case words and single digits.

    Nothing is unknown to it, since every byte has a token of its own.

    Args:
      texts: Reports and explanations; their order does not matter.
      rows: Ids, at most.
    """
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    fixed = fixed_texts()
    trainer = trainers.BpeTrainer(
        vocab_size=rows - len(fixed),
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(sorted(texts), trainer)
    bpe.add_tokens([AddedToken(text, normalized=False) for text in fixed])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )
