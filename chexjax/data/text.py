"""What is done to the text of real reports before a policy learns from it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextRules:
    """Which rules are applied; `Study.edits` counts how often each of them changed a study.

    The first three are CheXagent's for MIMIC-CXR, which CheXalign learns from: a policy that is
    shown one examination cannot know what has changed since the last.

    Attributes:
      drop_prior: Drop sentences of the findings that speak of an earlier examination.
      drop_again: Delete the word "again".
      drop_new: Delete the word "new", or write "present" for it at the end of a sentence.
      missing_indication: What stands for an indication that is not given.
      max_words: A report with more words is rejected: it is no report, or several.
    """

    drop_prior: bool = True
    drop_again: bool = True
    drop_new: bool = True
    missing_indication: str = "None"
    max_words: int = 2000

    def __post_init__(self) -> None:
        if self.max_words < 1:
            raise ValueError(f"max_words={self.max_words} rejects every report; give 1 or more")
