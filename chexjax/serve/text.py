"""Tokens to text while they come: no half characters, no lost blanks, nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

_BROKEN = "\ufffd"  # what a decoder writes for bytes that are no character, or not yet
_WINDOW, _KEPT = 128, 16


class Decoder:
    """Text of tokens as they come: what it gives, put together, is the text of all of them."""

    def __init__(self, decode: Decode, before: Sequence[int] = ()) -> None:
        """Nothing is written yet.

        Args:
          decode: Ids to text, special tokens left out.
          before: What the tokens follow, where their text goes on from it: a tokenizer may drop
            the blank in front of the first word.
        """
        self._decode = decode
        self._ids = list(before)[-_KEPT:]
        self._given = decode(self._ids).rstrip(_BROKEN)

    def add(self, token: int) -> str:
        """What is certain about the text now and was not before."""
        self._ids.append(token)
        text = self._decode(self._ids)
        certain = text.rstrip(_BROKEN)
        new = certain[len(self._given) :]
        if new:
            self._given = certain
        if len(self._ids) > _WINDOW and text == self._given:
            self._shorten()
        return new

    def rest(self) -> str:
        """What was never certain, at the end."""
        return self._decode(self._ids)[len(self._given) :]

    def _shorten(self) -> None:
        """Lets go of old tokens, so that a long text costs no more a token than a short one."""
        kept = self._ids[-_KEPT:]
        given = self._decode(kept)
        if given and not given.startswith(_BROKEN) and not given.endswith(_BROKEN):
            self._ids, self._given = kept, given


class Text:
    """Text up to the first stop string, of which not a part is given away.

    Attributes:
      stopped: Whether one has come.
    """

    def __init__(self, decoder: Decoder, stops: Sequence[str] = ()) -> None:
        """Nothing is written yet; the stop string that ends first counts."""
        self._decoder, self._stops, self._held = decoder, stops, ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What can be given away now."""
        return self._certain(self._decoder.add(token), end=False)

    def end(self) -> str:
        """What is left when no token comes any more."""
        return self._certain(self._decoder.rest(), end=True)

    def _certain(self, new: str, *, end: bool) -> str:
        text = self._held + new
        found = [(at + len(s), at) for s in self._stops if (at := text.find(s)) >= 0]
        self.stopped = bool(found)
        at = min(found)[1] if found else len(text) if end else len(text) - self._doubtful(text)
        self._held = "" if found else text[at:]
        return text[:at]

    def _doubtful(self, text: str) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        ends = range(min(longest, len(text)), 0, -1)
        return next((k for k in ends if any(s.startswith(text[-k:]) for s in self._stops)), 0)
