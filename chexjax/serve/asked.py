"""Bodies of requests: read with limits, checked field by field."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, NoReturn

from chexjax.engine import Sampler
from chexjax.serve.config import Limits
from chexjax.serve.errors import Refusal, wrong

_STOPS = 16
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "ignore_eos": (False,),
    "logit_bias": ({},),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "prediction": (),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "web_search_options": (),
}
"""Fields that would change an answer if they were obeyed, and the values that ask for nothing."""


class Fields:
    """The fields of a JSON object; one that is null is one that is not there."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """Takes the object."""
        self._body = body

    def get(self, name: str) -> Any:
        """A field, or None."""
        return self._body.get(name)

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number within a range."""
        value = default if self.get(name) is None else self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(name, "must be a number")
        if not least <= value <= most:
            raise wrong(name, f"must be from {least:g} to {most:g}")
        return float(value)

    def whole(self, name: str, default: int | None, least: float, most: float) -> int | None:
        """A whole number within a range."""
        value = default if self.get(name) is None else self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(name, "must be a whole number")
        if not least <= value <= most:
            raise wrong(name, f"must be from {least:g} to {most:g}")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(name, "must be true or false")
        return bool(value)

    def text(self, name: str) -> str:
        """A text."""
        value = self.get(name)
        if not isinstance(value, str):
            raise wrong(name, "must be a text")
        return checked(name, value)

    def texts(self, name: str) -> list[str]:
        """A text, or several."""
        value = self.get(name)
        value = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise wrong(name, "must be a text or a list of texts")
        return [checked(name, one) for one in value]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """How an answer is to be written and given.

    Attributes:
      count: Answers of each prompt.
      limit: Most tokens of an answer; None where the client names no number.
      sampler: How tokens are drawn.
      seed: What the draws depend on.
      stops: Texts that end an answer.
      logprobs: Whether log-probabilities come along.
      stream: Whether it comes as it is written.
      usage: Whether a stream says at its end how many tokens it was.
    """

    count: int
    limit: int | None
    sampler: Sampler
    seed: int
    stops: tuple[str, ...]
    logprobs: bool
    stream: bool
    usage: bool

    def seeds(self, prompt: int) -> list[int]:
        """A number for each answer to the prompt of that number, all of them different."""
        names = (f"{self.seed}/{prompt}/{k}".encode() for k in range(self.count))
        digests = (hashlib.blake2b(name, digest_size=8).digest() for name in names)
        return [int.from_bytes(digest, "big") for digest in digests]


def read_json(raw: bytes) -> Fields:
    """The fields of a body.

    Raises:
      Refusal: it is no JSON object.
    """
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is no JSON", code="invalid_json") from None
    if not isinstance(body, dict):
        raise Refusal(400, "the body is JSON, but no object", code="invalid_json")
    return Fields(body)


def read_asked(fields: Fields, limits: Limits, *, logprobs: bool) -> Asked:
    """What chats and completions have in common.

    Raises:
      Refusal: a field is not what it should be, or asks for what there is not.
    """
    for name, neutral in _NEUTRAL.items():
        value = fields.get(name)
        if value is not None and value not in neutral:
            raise wrong(name, "is not supported here; leave it out", "unsupported_parameter")
    stops = fields.texts("stop")
    if len(stops) > _STOPS or not all(stops):
        raise wrong("stop", f"must be at most {_STOPS} texts, none of them empty")
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise wrong("stream_options", "must be an object")
    seed = fields.whole("seed", None, -(2**63), 2**64 - 1)
    count = fields.whole("n", 1, 1, limits.choices)
    assert count is not None  # it has a default
    return Asked(
        count=count,
        limit=_limit(fields, limits),
        sampler=_sampler(fields),
        seed=secrets.randbits(64) if seed is None else seed,
        stops=tuple(stops),
        logprobs=logprobs,
        stream=fields.flag("stream"),
        usage=Fields(options or {}).flag("include_usage"),
    )


def checked(name: str, text: str) -> str:
    """A text that can be written as UTF-8: JSON can say halves of characters.

    Raises:
      Refusal: this one cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise wrong(name, "holds half a character (a lone surrogate)") from None
    return text


def _limit(fields: Fields, limits: Limits) -> int | None:
    newer = fields.whole("max_completion_tokens", None, 1, limits.tokens)
    older = fields.whole("max_tokens", None, 1, limits.tokens)
    return older if newer is None else newer


def _sampler(fields: Fields) -> Sampler:
    top_p = fields.number("top_p", 1.0, 0, 1)
    if top_p == 0:
        raise wrong("top_p", "must be above 0 and at most 1")
    top_k = fields.whole("top_k", 0, -1, 2**31 - 1)
    return Sampler(
        temperature=fields.number("temperature", 1.0, 0, 2), top_k=max(top_k or 0, 0), top_p=top_p
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
