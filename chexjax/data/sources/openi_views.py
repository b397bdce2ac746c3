"""Which view each picture of Open-I is: the reports do not say, tables made by others do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from chexjax.data.sources.columns import column_names, read_columns
from chexjax.data.views import view_name

_COLUMNS = (
    ("imageid", "View Position"),  # DICOM headers, noisy, and empty for a third
    ("imageid", "tsne-view"),  # cleaned by eye, the first picture of most studies
    ("filename", "projection"),
)
"""Of the tables that go round: the column with the picture's name, and that with its view."""

_KNOWN = ("nlmcxr_dicom_metadata.csv", "indiana_projections.csv", "nlmcxr_tsne_pa.csv")


def known_tables(folder: Path) -> list[Path]:
    """The tables of known names in a folder, the more reliable ones last."""
    names = [folder / (name + end) for name in _KNOWN for end in ("", ".gz")]
    return [file for file in names if file.is_file()]


def keys(image: str) -> tuple[str, ...]:
    """The names that pictures of the image id `CXR2_IM-0652-1001` go by, without their endings.

    PNG files bear the whole id, DICOM files `2_IM-0652-1001`; study 1's ids have their file's name
    behind the study's, `CXR1_1_IM-0001-3001`.
    """
    return image, image.removeprefix("CXR"), image.partition("_")[2]


def read_views(tables: Iterable[Path]) -> dict[str, str]:
    """Name of a picture -> view, from all tables; a later one overrules an earlier one.

    Raises:
      ValueError: a table is not there, cannot be read or has other columns.
    """
    found: dict[str, str] = {}
    for table in tables:
        try:
            found |= {name: view_name(view) for name, view in _rows(table) if view.strip()}
        except ValueError as error:
            raise ValueError(f"source.openi.view_tables: {error}") from error
    return found


def _rows(table: Path) -> Iterator[tuple[str, str]]:
    there = column_names(table)
    for columns in _COLUMNS:
        if set(columns) <= set(there):
            for _, cells in read_columns(table, *columns):
                if cells:
                    yield cells[0].partition(".")[0], cells[1]
            return
    wanted = ", or ".join(" and ".join(pair) for pair in _COLUMNS)
    raise ValueError(f"{table} says no views: it needs the columns {wanted}")
