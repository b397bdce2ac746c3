"""Byte-pair tokenizers: trained here, or read from files as they are published."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from chexjax.families import Template


def train_bpe(texts: Iterable[str], template: Template, vocabulary: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE that has exactly as many ids as the model has embedding rows.

    Args:
      texts: Training texts; their order does not matter.
      template: Gives the special tokens, which get the first ids.
      vocabulary: Number of ids; what the texts cannot fill becomes `<|extra_k|>`.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(template.special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(sorted(texts), trainer)
    bpe.add_special_tokens([f"<|extra_{k}|>" for k in range(vocabulary - bpe.get_vocab_size())])
    return _wrapped(bpe, template)


def read_bpe(folder: Path, template: Template) -> PreTrainedTokenizerFast:
    """A byte-level BPE from `vocab.json`, `merges.txt` and, where it is there, `added_tokens.json`.

    So a tokenizer that is published as Python code (CheXagent-2's) is read without running it.

    Raises:
      ValueError: an added token would get another id than the file says, or a special token of
        the template is nowhere.
    """
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    bpe = Tokenizer(models.BPE.from_file(*files))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    file = folder / "added_tokens.json"
    added: dict[str, int] = json.loads(file.read_text()) if file.is_file() else {}
    for token, number in sorted(added.items(), key=lambda item: item[1]):
        bpe.add_tokens([AddedToken(token, normalized=False, special=token in template.special)])
        if bpe.token_to_id(token) != number:
            raise ValueError(
                f"{file}: {token!r} is said to be {number} but comes to be "
                f"{bpe.token_to_id(token)}; fetch all tokenizer files from the same revision"
            )
    _check_special(folder, bpe, template)
    return _wrapped(bpe, template)


def read_sentencepiece(file: Path, template: Template) -> PreTrainedTokenizerFast:
    """The byte-pair tokenizer of a `tokenizer.model` (LLaMA's, Mistral's), id for id.

    Text between special tokens starts with a blank piece, as it does for sentencepiece itself.

    Raises:
      ValueError: the file is unreadable, is no BPE, or lacks a special token of the template.
    """
    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{file} is no sentencepiece model; fetch it again") from error
    ids = range(model.get_piece_size())
    vocabulary = {model.id_to_piece(k): k for k in ids}
    if any(model.get_score(k) % 1 for k in ids):  # of a BPE the score is the rank of a merge
        raise ValueError(f"{file} is no BPE, so it cannot be read; give the tokenizer.json")
    bpe = Tokenizer(
        models.BPE(
            vocabulary,
            _merges(model, vocabulary),
            unk_token=model.id_to_piece(model.unk_id()),
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    blank = "\u2581"
    bpe.normalizer = normalizers.Sequence(
        [normalizers.Prepend(blank), normalizers.Replace(" ", blank)]
    )
    bpe.decoder = decoders.Sequence(
        [
            decoders.Replace(blank, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    _check_special(file, bpe, template)
    return _wrapped(bpe, template)


def _merges(model: sentencepiece.SentencePieceProcessor, ids: dict[str, int]) -> list[tuple]:
    """Every way to put a piece together from two, the best piece first."""
    found = []
    for piece, number in ids.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in ids and right in ids:
                found.append((-model.get_score(number), ids[left], ids[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def _check_special(path: Path, bpe: Tokenizer, template: Template) -> None:
    """Makes a template's special tokens special, which have to be there."""
    if lacking := [token for token in template.special if bpe.token_to_id(token) is None]:
        raise ValueError(
            f"{path}: no token {', '.join(lacking)}; fetch all tokenizer files of the model, "
            "added_tokens.json too"
        )
    bpe.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in template.special]
    )


def _wrapped(bpe: Tokenizer, template: Template) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=template.end,
        pad_token=template.end,
        additional_special_tokens=[t for t in template.special if t != template.end],
        clean_up_tokenization_spaces=False,
    )
