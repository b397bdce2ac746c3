"""A folder of pictures with a text of the same name beside each: the least that makes a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexjax.data.text import decode

PICTURES = (".png", ".jpg", ".jpeg", ".dcm")


class Beside:
    """`a/1.png` and `a/1.txt` are the study `a/1`, whose report is the text."""

    columns = ("id", "image", "report")

    def __init__(self, folder: Path) -> None:
        """Finds the pictures, at any depth.

        Raises:
          ValueError: there are none, or not one has a text.
        """
        files = [file for file in folder.rglob("*") if file.suffix.lower() in PICTURES]
        self._pictures = sorted(files)
        self.ids = [file.relative_to(folder).with_suffix("").as_posix() for file in self._pictures]
        if not any(file.with_suffix(".txt").is_file() for file in self._pictures):
            raise ValueError(
                f"source.path={folder}: no table in it, and no picture with a .txt of its name; "
                "give the path of a .jsonl or .csv file"
            )

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """The path of a picture and the text beside it, empty where there is none."""
        picture = self._pictures[index]
        text = picture.with_suffix(".txt")
        report = decode(text.read_bytes()) if text.is_file() else ""
        return {"id": self.ids[index], "image": str(picture.absolute()), "report": report}

    def files(self) -> list[Path]:
        """The texts."""
        texts = (file.with_suffix(".txt") for file in self._pictures)
        return [text for text in texts if text.is_file()]
