"""Prompts out of bodies: turns of a conversation, or texts and ids to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chexjax.serve.asked import Fields, checked
from chexjax.serve.errors import wrong
from chexjax.serve.model import Served

_ROLES = ("system", "developer", "user", "assistant")
Prompts = list[list[int]]


def chat_prompts(served: Served, fields: Fields) -> Prompts:
    """Ids of the one conversation in `messages`.

    Raises:
      Refusal: there is none, it has more than text in it, or the model knows no turns.
    """
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list of one message or more")
    if not served.talks:
        raise wrong(
            "messages", f"of {served.name} no turns are known; ask /v1/completions", "no_chat"
        )
    turns = [_turn(f"messages[{k}]", message) for k, message in enumerate(messages)]
    try:
        return [_checked(served, "messages", served.chat_ids(turns))]
    except ValueError as error:
        raise wrong("messages", str(error)) from error


def text_prompts(served: Served, fields: Fields) -> Prompts:
    """Ids of each prompt in `prompt`: a text, ids, or a list of either.

    Raises:
      Refusal: it is something else, or there is nothing to go on from.
    """
    prompt = fields.get("prompt")
    if isinstance(prompt, str) or (isinstance(prompt, list) and prompt and _is_id(prompt[0])):
        prompt = [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise wrong("prompt", "must be a text, a list of token ids, or a list of one of these")
    return [_prompt(served, one) for one in prompt]


def _turn(where: str, message: Any) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise wrong(where, "must be an object with role and content")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise wrong(f"{where}.role", f"must be one of {', '.join(_ROLES)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise wrong(where, "calls of tools are not supported here", "unsupported_parameter")
    return ("system" if role == "developer" else role), _content(f"{where}.content", content)


def _content(where: str, content: Any) -> str:
    if isinstance(content, str):
        return checked(where, content)
    if not isinstance(content, list):
        raise wrong(where, "must be a text, or a list of parts")
    texts = []
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise wrong(where, "has a part that is no text; only text is supported here")
        texts.append(checked(where, part["text"]))
    return "\n".join(texts)


def _prompt(served: Served, prompt: Any) -> list[int]:
    if isinstance(prompt, str):
        ids = served.text_ids(checked("prompt", prompt))
    elif isinstance(prompt, list) and all(map(_is_id, prompt)):
        ids = prompt
    else:
        raise wrong("prompt", "must be a text, a list of token ids, or a list of one of these")
    return _checked(served, "prompt", ids)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(served: Served, where: str, ids: Sequence[int]) -> list[int]:
    rows = served.family.decoder.vocabulary
    if not ids:
        raise wrong(where, "has no tokens, so there is nothing to go on from")
    if min(ids) < 0 or max(ids) >= rows:
        raise wrong(where, f"has a token that is not among the model's {rows}")
    return list(ids)
