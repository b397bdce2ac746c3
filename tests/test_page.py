"""The page: text is always escaped, markup never twice, one file that needs no network."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chexjax.page import DARK, LIGHT, Html, Page, figure, grid, join, standalone, table, tag, void

EVIL = "<script>alert('x')</script> & \"y\""


class Scripts(HTMLParser):
    """Counts script elements, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_text_is_escaped_wherever_it_enters(tmp_path: Path) -> None:
    page = Page(EVIL, EVIL, above=EVIL)
    body = join([table([EVIL, EVIL], [[EVIL, EVIL]]), tag("p", EVIL, title=EVIL)])
    page.section(EVIL, body, lead=EVIL)
    page.figure(tag("svg"), EVIL)
    page.write(tmp_path / "page.html")
    found = Scripts()
    found.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found.scripts == 0 and not found.open


def test_markup_is_not_escaped_again() -> None:
    assert tag("p", tag("b", "a < b"), " & c") == "<p><b>a &lt; b</b> &amp; c</p>"
    assert tag("td", class_="x", aria_label='"') == '<td class="x" aria-label="&quot;"></td>'
    assert void("img", alt="") == '<img alt="">'
    assert join(["a", Html("<i>b</i>")], " < ") == "a &lt; <i>b</i>"


def test_a_table_names_its_rows_and_columns_and_sets_one_column_off() -> None:
    found = ET.fromstring(table(["system", "score"], [["SFT", "0.5"]], strong=1))
    head = found.findall("./table/thead/tr/th")
    assert [cell.text for cell in head] == ["system", "score"]
    row = found.find("./table/tbody/tr")
    assert row is not None
    assert [(cell.tag, cell.text, cell.get("class")) for cell in row] == [
        ("th", "SFT", None),
        ("td", "0.5", "strong"),
    ]


def test_sections_are_linked_from_the_top() -> None:
    page = Page("t")
    page.section("How it was made", tag("p", "x"))
    text = page.render()
    assert 'href="#how-it-was-made"' in text and 'id="how-it-was-made"' in text


def test_both_colour_schemes_name_every_role() -> None:
    assert LIGHT.keys() == DARK.keys()


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
@pytest.mark.parametrize("role", ["ink", "muted", "accent", "wrong", "doubt"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(scheme: dict[str, str], role: str) -> None:
    ends = sorted(_luminance(scheme[name]) for name in (role, "paper"))
    assert (ends[1] + 0.05) / (ends[0] + 0.05) >= 4.5


def test_a_picture_alone_is_valid_svg_with_its_colours() -> None:
    svg = Html('<svg xmlns="http://www.w3.org/2000/svg"><g fill="var(--ink)"/></svg>')
    found = standalone(svg)
    ET.fromstring(found)
    assert LIGHT["ink"] in found and DARK["ink"] in found


def test_figures_stand_in_a_grid_with_their_captions() -> None:
    found = ET.fromstring(grid(figure(tag("svg"), "a < b"), figure(tag("svg"))))
    captions = [one.findtext("figcaption") for one in found]
    assert captions == ["a < b", None]


def test_a_page_with_a_script_lets_no_other_run_and_loads_nothing() -> None:
    page = Page("title", script="alert('1 < 2')").render()
    # By `printf "alert('1 < 2')" | openssl dgst -sha256 -binary | base64`.
    digest = "p9FRgtqmyMffBCL3IfjmoJI36tzdFTUODYLl+3a6bxc="
    assert f"script-src &#x27;sha256-{digest}&#x27;" in page
    assert "default-src &#x27;none&#x27;" in page
    assert page.count("<script>") == 1 and "<script>alert('1 < 2')</script>" in page
    assert "<script" not in Page("title").render()
