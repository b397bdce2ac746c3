"""Answers as OpenAI's clients expect them: chats and completions, whole or as events."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from chexjax.serve.calls import Piece
from chexjax.serve.model import Served

Body = dict[str, Any]


class Completions:
    """Answers of `/v1/completions`.

    Attributes:
      wants_logprobs: Whether log-probabilities come along.
    """

    kind, events, prefix = "text_completion", "text_completion", "cmpl"

    def __init__(self, served: Served, *, logprobs: bool, usage: bool) -> None:
        """An answer to one call, with log-probabilities or not; `usage` is a stream's."""
        self._served, self.wants_logprobs, self._usage = served, logprobs, usage
        self._base = {
            "id": f"{self.prefix}-{secrets.token_hex(16)}",
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": None,
        }
        self._offsets: dict[int, int] = {}

    def whole(self, pieces: Sequence[Piece], tokens: tuple[int, int]) -> Body:
        """All at once.

        Args:
          pieces: In the order in which they came.
          tokens: Of the prompts, and written.
        """
        choices = [_joined(found) for found in _by_choice(pieces)]
        return {
            **self._base,
            "object": self.kind,
            "choices": [self.choice(choice) for choice in choices],
            "usage": usage(tokens),
        }

    def opening(self, piece: Piece) -> list[Body]:
        """Events in front of an answer's first piece."""
        return []

    def event(self, piece: Piece) -> Body:
        """One piece of a stream."""
        return self._event([self.change(piece)])

    def closing(self, tokens: tuple[int, int]) -> list[Body]:
        """Events behind the last piece."""
        return [{**self._event([]), "usage": usage(tokens)}] if self._usage else []

    def choice(self, piece: Piece) -> Body:
        """A whole answer."""
        return self.change(piece)

    def change(self, piece: Piece) -> Body:
        """What a piece adds to an answer."""
        said = {"text": piece.text, "index": piece.choice, "finish_reason": piece.finish}
        return said | {"logprobs": self.logprobs(piece) if self.wants_logprobs else None}

    def logprobs(self, piece: Piece) -> Body:
        """Log-probabilities of a piece's tokens."""
        spelled = [self._served.spell(token) for token in piece.tokens]
        at = self._offsets.get(piece.choice, 0)
        offsets = []
        for text in spelled:
            offsets.append(at)
            at += len(text)
        self._offsets[piece.choice] = at
        numbers = {"tokens": spelled, "token_logprobs": list(piece.logps)}
        return {**numbers, "top_logprobs": None, "text_offset": offsets}

    def _event(self, choices: list[Body]) -> Body:
        usage = {"usage": None} if self._usage else {}
        return {**self._base, "object": self.events, "choices": choices, **usage}


class Chats(Completions):
    """Answers of `/v1/chat/completions`."""

    kind, events, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def opening(self, piece: Piece) -> list[Body]:
        """The role, which stands in an event of its own."""
        delta = {"role": "assistant", "content": ""}
        choice = {"index": piece.choice, "delta": delta, "finish_reason": None, "logprobs": None}
        return [self._event([choice])]

    def choice(self, piece: Piece) -> Body:
        """A whole answer."""
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {"message": message, **self._rest(piece)}

    def change(self, piece: Piece) -> Body:
        """What a piece adds to an answer."""
        return {"delta": {"content": piece.text} if piece.text else {}, **self._rest(piece)}

    def logprobs(self, piece: Piece) -> Body:
        """Log-probabilities of a piece's tokens."""
        return {"content": list(map(self._said, piece.tokens, piece.logps)), "refusal": None}

    def _rest(self, piece: Piece) -> Body:
        logprobs = self.logprobs(piece) if self.wants_logprobs else None
        return {"index": piece.choice, "finish_reason": piece.finish, "logprobs": logprobs}

    def _said(self, token: int, logp: float) -> Body:
        text = self._served.spell(token)
        raw = None if "\ufffd" in text else list(text.encode())
        return {"token": text, "logprob": logp, "bytes": raw, "top_logprobs": []}


def _by_choice(pieces: Iterable[Piece]) -> list[list[Piece]]:
    found: dict[int, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.choice, []).append(piece)
    return [found[number] for number in sorted(found)]


def _joined(pieces: Sequence[Piece]) -> Piece:
    return Piece(
        pieces[0].choice,
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
        tuple(logp for piece in pieces for logp in piece.logps),
        pieces[-1].finish,
    )


def usage(tokens: tuple[int, int]) -> Body:
    """How many tokens were asked and written."""
    asked, written = tokens
    total = asked + written
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": total}
