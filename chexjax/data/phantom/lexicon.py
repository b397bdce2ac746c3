"""The words that matter in a chest X-ray report, and the lexer that finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]
"""Start and end, in characters."""

Token = tuple[str, str, int, int]
"""Role, value, start and end."""

LEXICON: tuple[tuple[str, str, str], ...] = (
    ("change", "unchanged", r"no (?:significant |interval )*change|unchanged|stable"),
    ("change", "worse", r"wors(?:e|ened|ening)|increased|larger|progress(?:ed|ion)"),
    ("change", "improved", r"improve(?:d|ment)|decreased|smaller|resol(?:ved|ving)"),
    ("prior", "", r"prior|previous(?:ly)?|compar(?:ed|ison)|interval"),
    ("not", "", r"no|not|without|(?:free|clear) of|negative for"),
    ("break", "", r"(?:(?:and|but|while) )?there (?:is|are)|but|however|while|although"),
    ("join", "", r"and|with|or|nor"),
    ("kind", "cardiomegaly", r"cardiomegaly"),
    ("kind", "effusion", r"effusions?"),
    ("kind", "pneumothorax", r"pneumothora(?:x|ces)"),
    ("kind", "consolidation", r"consolidations?"),
    ("kind", "atelectasis", r"atelecta(?:sis|tic)"),
    ("kind", "edema", r"o?edema"),
    ("kind", "lesion mild", r"nodules?"),
    ("kind", "lesion severe", r"mass(?:es)?"),
    ("kind", "fracture", r"fractur(?:es?|ed)"),
    ("kind", "pacemaker", r"pacemaker"),
    ("kind", "catheter", r"catheter|central (?:venous )?line"),
    ("kind", "tube", r"endotracheal tube"),
    ("subject", "heart mediastinum", r"cardiomediastinal"),
    ("subject", "summary", r"cardiopulmonary"),
    ("subject", "heart", r"heart|cardiac"),
    ("subject", "mediastinum", r"mediastin(?:um|al)"),
    ("subject", "lungs", r"lungs|lung fields"),
    ("subject", "vessels", r"vasculature|vascularity|vessels"),
    ("subject", "pleura", r"pleural spaces"),
    ("subject", "angles", r"costophrenic angles"),
    ("subject", "bones", r"ribs|bones|bony|osseous"),
    ("state", "normal", r"normal|clear|unremarkable|intact|sharp"),
    ("state", "large", r"enlarge(?:d|ment)|wide(?:ned|ning)?"),
    ("state", "abnormal", r"abnormalit(?:y|ies)|abnormal|process"),
    ("severity", "mild", r"mild(?:ly)?|small|slight(?:ly)?|minimal(?:ly)?|trace|tiny"),
    ("severity", "moderate", r"moderate(?:ly)?"),
    ("severity", "severe", r"severe(?:ly)?|large|marked(?:ly)?|massive"),
    ("side", "left", r"left"),
    ("side", "right", r"right"),
    ("side", "bilateral", r"bilateral(?:ly)?|both"),
    ("zone", "upper", r"upper|apical"),
    ("zone", "mid", r"mid(?:dle)?"),
    ("zone", "lower", r"lower|basal|basilar|bases?"),
)
"""Role, value and pattern; the first that matches at a word wins, so longer ones come first."""

_STOP = len(LEXICON) + 1
_COMMA = _STOP + 1
_LEXER = re.compile(
    r"\b(?:"
    + "|".join("(" + p.replace(" ", r"\s+") + ")" for _, _, p in LEXICON)
    + r")\b|([.;!?](?=\s|$)|\n\s*\n)|(,)",
    re.IGNORECASE,
)


def clauses(text: str) -> Iterator[tuple[Span, list[Token]]]:
    """Cuts `text` into clauses, each with its span and its tokens; joined they are all of it."""
    start, tokens = 0, list[Token]()
    for match in _LEXER.finditer(text):
        index = match.lastindex or 0
        if index == _STOP:
            yield (start, match.end()), tokens
            start, tokens = match.end(), []
        elif index == _COMMA:
            tokens.append(("join", ",", *match.span()))
        elif LEXICON[index - 1][0] == "break":
            yield (start, match.start()), tokens
            start, tokens = match.start(), []
        else:
            tokens.append((*LEXICON[index - 1][:2], *match.span()))
    yield (start, len(text)), tokens
