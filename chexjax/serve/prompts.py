"""Prompts out of bodies: turns of a conversation, or texts and ids to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chexjax.serve.asked import Fields, checked
from chexjax.serve.errors import wrong
from chexjax.serve.model import Prompt, Served
from chexjax.serve.studies import read_image, study_prompt

_ROLES = ("system", "developer", "user", "assistant")
_DENSE = 64
"""Characters of a token, on average, that no text has."""


def chat_prompts(served: Served, fields: Fields) -> list[Prompt]:
    """The one conversation in `messages`.

    Where the model is a policy, that is one message of a user: a study's images and, as text, its
    indication.

    Raises:
      Refusal: there is none, it has something in it that the model does not take, or the model
        knows no turns.
    """
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list of one message or more")
    if not served.talks:
        raise wrong(
            "messages", f"of {served.name} no turns are known; ask /v1/completions", "no_chat"
        )
    read = [_turn(f"messages[{k}]", message) for k, message in enumerate(messages)]
    turns = [(role, "\n".join(texts)) for role, texts, _ in read]
    files = [file for _, _, files in read for file in files]
    _check_length(served, "messages", sum(len(text) for _, text in turns))
    if served.reports:
        if len(turns) != 1 or turns[0][0] != "user":
            raise wrong("messages", f"{served.name} is asked about a study in one user's message")
        return [study_prompt(served, "messages", files, turns[0][1])]
    if files:
        raise wrong("messages", f"{served.name} takes no images")
    try:
        return [Prompt(_checked(served, "messages", served.chat_ids(turns)))]
    except ValueError as error:
        raise wrong("messages", str(error)) from error


def text_prompts(served: Served, fields: Fields) -> list[Prompt]:
    """Each prompt in `prompt`: a text, ids, or a list of either.

    Raises:
      Refusal: it is something else, or there is nothing to go on from.
    """
    prompt = fields.get("prompt")
    if isinstance(prompt, str) or (isinstance(prompt, list) and prompt and _is_id(prompt[0])):
        prompt = [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise wrong("prompt", "must be a text, a list of token ids, or a list of one of these")
    return [Prompt(_prompt(served, one)) for one in prompt]


def _turn(where: str, message: Any) -> tuple[str, list[str], list[bytes]]:
    """Role, texts and image files of a message."""
    if not isinstance(message, dict):
        raise wrong(where, "must be an object with role and content")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise wrong(f"{where}.role", f"must be one of {', '.join(_ROLES)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise wrong(where, "calls of tools are not supported here", "unsupported_parameter")
    texts, files = _content(f"{where}.content", content)
    return ("system" if role == "developer" else role), texts, files


def _content(where: str, content: Any) -> tuple[list[str], list[bytes]]:
    if isinstance(content, str):
        return [checked(where, content)], []
    if not isinstance(content, list):
        raise wrong(where, "must be a text, or a list of parts")
    texts, files = [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(checked(where, part["text"]))
        elif kind == "image_url":
            files.append(read_image(where, part))
        else:
            raise wrong(where, "has a part that is neither text nor image_url")
    return texts, files


def _check_length(served: Served, where: str, characters: int) -> None:
    """Refuses what is too long by far before it is read into tokens, which takes its time."""
    if characters > _DENSE * served.context:
        message = f"{characters} characters are more than the {served.context} tokens of context"
        raise wrong(where, message, "context_length_exceeded")


def _prompt(served: Served, prompt: Any) -> list[int]:
    if isinstance(prompt, str):
        _check_length(served, "prompt", len(prompt))
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
