"""Open-I: the chest X-rays of Indiana University with their reports.

The official layout is `ecgen-radiology/N.xml`, one report a file, as a folder or as the archive
`NLMCXR_reports.tgz`, and the unpacked pictures of `NLMCXR_png.tgz` (flat) or `NLMCXR_dcm.tgz` (a
folder a study). See Demner-Fushman et al., "Preparing a collection of radiology examinations for
distribution and retrieval", JAMIA 2016. The collection has no split of its own.
"""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Literal

from chexjax.config import local
from chexjax.data.fingerprint import fingerprint
from chexjax.data.sources.openi_labels import labels
from chexjax.data.sources.openi_reports import open_reports
from chexjax.data.sources.openi_views import keys, known_tables, read_views
from chexjax.data.splits import split_by_hash
from chexjax.data.study import Study, UnusableStudy
from chexjax.data.text import TextRules, clean, decode
from chexjax.data.views import UNKNOWN, Picture, ViewRules, choose

_PICTURES = (".dcm", ".jpg", ".png")  # where a picture is there twice, the last of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenIConfig:
    """How Open-I is read.

    Attributes:
      image_folder: Where the pictures lie, at any depth; empty for the source's own folder.
      view_tables: Tables that say which view a picture is; a later one overrules an earlier one.
        Empty for those of known names in the source's folder.
      need: Sections that a study must have; `findings_and_impression` for those who want to write
        the second from the first.
    """

    image_folder: str = local("")
    view_tables: tuple[str, ...] = local(())
    need: Literal["findings", "findings_and_impression"] = "findings"


class OpenISource:
    """The studies of Open-I in the order of their numbers."""

    def __init__(self, path: Path, config: OpenIConfig, text: TextRules, views: ViewRules) -> None:
        """Finds reports, pictures and views.

        Raises:
          ValueError: there are no reports at `path`, or a folder or table that the config names
            cannot be read.
        """
        self._config, self._text, self._rules = config, text, views
        self._reports = open_reports(path)
        self._names = sorted(self._reports.names(), key=_number)
        self._pictures: dict[str, Path] = {}
        self._tables: list[Path] = []
        if views.most:
            folder = path if path.is_dir() else path.parent
            self._pictures = _find_pictures(Path(config.image_folder or folder))
            self._tables = [Path(name) for name in config.view_tables] or known_tables(folder)
        self._views = read_views(self._tables)

    def __len__(self) -> int:
        """Number of reports."""
        return len(self._names)

    def id(self, index: int) -> str:
        """`CXR7` for the report `7.xml`, which bears that name inside, too."""
        return f"CXR{Path(self._names[index]).stem}"

    def fingerprint(self) -> str:
        """Of reports and tables whole, of pictures by name and size."""
        sizes = [(name, file.stat().st_size) for name, file in self._pictures.items()]
        return fingerprint([*self._reports.files(), *self._tables], sizes)

    def __getitem__(self, index: int) -> Study:
        """Reads one report, and the pictures of it that are used.

        Raises:
          UnusableStudy: the XML is broken, a section is missing, or no picture is there.
        """
        root = _parse(self._reports.read(self._names[index]))
        text = clean(_sections(root), self._text)
        if self._config.need == "findings_and_impression" and not text.impression:
            raise UnusableStudy("it has no impression")
        images = [node.get("id", "") for node in root.iter("parentImage")]
        used = choose([self._picture(image) for image in images], self._rules, text.edits)
        major, automatic = (_texts(root, kind) for kind in ("major", "automatic"))
        return Study(
            id=self.id(index),
            split=split_by_hash(self.id(index)),
            images=tuple(picture.read() for picture in used),
            views=tuple(picture.view for picture in used),
            indication=text.indication,
            findings=text.findings,
            impression=text.impression,
            attributes={"source": "openi"},
            labels=labels(major),
            edits=text.edits,
            truth={"mesh": major, "automatic": automatic, "images": images},
        )

    def _picture(self, image: str) -> Picture:
        """What is known of the picture with an id of the reports."""
        file = next((self._pictures[key] for key in keys(image) if key in self._pictures), None)
        view = next((self._views[key] for key in keys(image) if key in self._views), UNKNOWN)
        return Picture(image, view, file)


def _find_pictures(folder: Path) -> dict[str, Path]:
    """Files below a folder by their names without ending; a PNG before a DICOM file."""
    if not folder.is_dir():
        raise ValueError(f"source.openi.image_folder={folder}: there is no such folder")
    files = [file for file in folder.rglob("*") if file.suffix.lower() in _PICTURES]
    files.sort(key=lambda file: _PICTURES.index(file.suffix.lower()))
    return {file.stem: file for file in files}


def _number(name: str) -> tuple[int, str]:
    stem = Path(name).stem
    return (int(stem) if stem.isdecimal() else 0, stem)


def _parse(data: bytes) -> ET.Element:
    """The document, whichever of the usual encodings it is in, and whichever it says."""
    try:
        return ET.fromstring(data)
    except (ET.ParseError, LookupError, ValueError):
        text = re.sub(r"^\s*<\?xml.*?\?>", "", decode(data))
    try:
        return ET.fromstring(text)
    except ET.ParseError as error:
        raise UnusableStudy(f"its XML is broken: {error}") from error


def _sections(root: ET.Element) -> dict[str, str]:
    nodes = root.iter("AbstractText")
    return {node.get("Label", "").lower(): "".join(node.itertext()) for node in nodes}


def _texts(root: ET.Element, tag: str) -> list[str]:
    return [node.text.strip() for node in root.iter(tag) if node.text and node.text.strip()]
