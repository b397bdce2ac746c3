"""What a GREEN judge is asked: the text around a reference report and a candidate.

The official text belongs to others. It is read at run time from an installed `radeval`, without
running a line of it; a judge that was trained here has its own text beside its weights.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
from pathlib import Path

WORDS = 300
"""Words that are kept of a report, as by green_score."""

_REFERENCE, _CANDIDATE = "{reference}", "{candidate}"
_OFFICIAL = "radeval.metrics.green_score.utils"
_SLOTS = {"text1": _REFERENCE, "text2": _CANDIDATE}  # names of reports there
# Of radeval 2.2.1 and green_score 0.0.12, whose texts are the same.
_HASH = "62ff3675597dd0994584f5b08cd33076bc5d74c72de27cf0124b0a9dac8aad0f"


@dataclasses.dataclass(frozen=True)
class Question:
    """What a judge is asked about a pair of reports.

    Attributes:
      shared: What questions about the same reference begin with.
      own: The candidate and what stands behind it.
    """

    shared: str
    own: str

    @property
    def text(self) -> str:
        """The whole of it."""
        return self.shared + self.own


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A question in three runs of text, the reference between the first two.

    Attributes:
      preamble: What all questions share.
      between: What stands between the reports.
      closing: What stands behind the candidate.
    """

    preamble: str
    between: str
    closing: str

    @classmethod
    def parse(cls, text: str, origin: str) -> Prompt:
        """Cuts a text at `{reference}` and `{candidate}`.

        Args:
          text: The whole question.
          origin: Where it is from, for errors.

        Raises:
          ValueError: not both stand in it once, the reference first.
        """
        preamble, *rest = text.split(_REFERENCE)
        parts = rest[0].split(_CANDIDATE) if len(rest) == 1 else []
        if len(parts) != 2 or _CANDIDATE in preamble:
            raise ValueError(
                f"{origin}: a judge's question has {_REFERENCE} and behind it {_CANDIDATE}, each "
                f"once; found {text.count(_REFERENCE)} and {text.count(_CANDIDATE)}"
            )
        return cls(preamble, *parts)

    def __call__(self, reference: str, candidate: str) -> Question:
        """The question about a pair of reports."""
        return Question(
            f"{self.preamble}{shorten(reference)}{self.between}", shorten(candidate) + self.closing
        )


def shorten(report: str) -> str:
    """The first 300 words of a report, with one blank between them."""
    return " ".join(report.split()[:WORDS])


def read_prompt(file: Path) -> Prompt:
    """The question of a judge that has its own, from the file beside its weights.

    Raises:
      ValueError: the file cannot be read, or is no question.
    """
    try:
        return Prompt.parse(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"judge.green.question: {file} cannot be read as a judge's question: {error}"
        ) from error


def official_prompt() -> Prompt:
    """GREEN's own question, out of the source text of `radeval` (extra `green`), which stays unrun.

    Raises:
      ValueError: radeval is not installed, or its text is not the one that GREEN was trained on.
    """
    package = importlib.util.find_spec("radeval")  # finds it without importing it
    if package is None or package.origin is None:
        raise ValueError(
            "GREEN's question is read from the package radeval, which is not installed: "
            "pip install --no-deps radeval==2.2.1, or give the judge a question of its own"
        )
    file = Path(package.origin).parent.joinpath(*_OFFICIAL.split(".")[1:]).with_suffix(".py")
    text = _template(file)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != _HASH:
        raise ValueError(
            f"{file} has another question (SHA-256 {found[:12]}) than the one GREEN was trained on "
            f"({_HASH[:12]}); install the release that has it: pip install --no-deps radeval==2.2.1"
        )
    return Prompt.parse(text, str(file))


def _template(file: Path) -> str:
    """The text that `make_prompt` fills, with our names in its slots; empty if there is none."""
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise ValueError(f"{file} cannot be read for GREEN's question: {error}") from error
    makers = [x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == "make_prompt"]
    texts = [x for maker in makers for x in ast.walk(maker) if isinstance(x, ast.JoinedStr)]
    return "".join(_piece(piece) for text in texts for piece in text.values)


def _piece(piece: ast.expr) -> str:
    match piece:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id=name)):
            return _SLOTS.get(name, "")
    return ""
