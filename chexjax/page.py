"""The look of every HTML page: one self-contained file, light and dark, screen and paper."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LIGHT = {
    "paper": "#fdfcfa",
    "card": "#ffffff",
    "ink": "#1d2329",
    "muted": "#66707a",
    "rule": "#e2dfd8",
    "neutral": "#98a1a9",
    "accent": "#0b6b75",
    "wash": "#e6f0f0",
    "wrong": "#a93c2a",
    "wrong-wash": "#f8e7e2",
    "doubt": "#8a6410",
}
"""Colours of the page by role; a picture names them as `var(--ink)` and follows the scheme."""

DARK = {
    "paper": "#14181b",
    "card": "#1b2024",
    "ink": "#e4e6e7",
    "muted": "#98a2aa",
    "rule": "#2d343a",
    "neutral": "#77828b",
    "accent": "#58b9c1",
    "wash": "#1b3236",
    "wrong": "#ef8d78",
    "wrong-wash": "#3d2420",
    "doubt": "#d8b25a",
}
"""The same roles on a dark ground."""


class Html(str):
    """Markup that is safe to show; every other string is text and is escaped on its way in."""


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """One element: `tag("a", "x < y", href="#z")`.

    Children that are not `Html` are escaped. A trailing underscore is dropped from an attribute's
    name (`class_`), the others become hyphens (`aria_label`).
    """
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{''.join(pairs)}>{join(children)}</{name}>")


def void(name: str, /, **attributes: str) -> Html:
    """An element that holds nothing and is not closed, such as `img`."""
    return Html(tag(name, **attributes).removesuffix(f"</{name}>"))


def join(parts: Iterable[str], between: str = "") -> Html:
    """Parts one after the other, each escaped unless it is `Html`."""
    safe = (part if isinstance(part, Html) else html.escape(part) for part in parts)
    return Html(html.escape(between).join(safe))


def stacked(text: str, below: str = "") -> Html:
    """Text in a cell with a small line under it, if there is any."""
    return tag("span", text, *([tag("small", below)] if below else []))


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, strong: int | None = None
) -> Html:
    """A table that scrolls sideways where the screen is narrow.

    Args:
      header: One heading a column; the first column names the rows.
      rows: Cells as text or `Html`.
      strong: Number of the column to set off, if any.
    """

    def line(kind: str, cells: Sequence[str], scope: str) -> Html:
        marks = [{"class_": "strong"} if k == strong else {} for k in range(len(cells))]
        first = tag("th", cells[0], scope=scope, **marks[0])
        rest = zip(cells[1:], marks[1:], strict=True)
        return tag("tr", first, *(tag(kind, cell, **mark) for cell, mark in rest))

    head = line("th", header, "col")
    body = [line("td", cells, "row") for cells in rows]
    whole = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=header[0])


def terms(known: Mapping[str, str]) -> Html:
    """Names, each with what is known of it beside it."""
    pairs = ((tag("dt", name), tag("dd", value)) for name, value in known.items())
    return tag("dl", *(part for pair in pairs for part in pair))


def figure(svg: Html, caption: str = "") -> Html:
    """A picture with a line of explanation under it."""
    return tag("figure", svg, *([tag("figcaption", caption)] if caption else []))


def folded(title: str, *parts: Html) -> Html:
    """Parts under a line that opens them."""
    return tag("details", tag("summary", title), *parts)


def grid(*parts: Html) -> Html:
    """Parts side by side, under one another where the screen is narrow."""
    return tag("div", *parts, class_="grid")


class Page:
    """A page under construction; `write` makes it one file that needs no network."""

    def __init__(
        self,
        title: str,
        subtitle: str = "",
        *,
        above: str = "chexjax",
        style: str = "",
        script: str = "",
    ) -> None:
        """Starts a page.

        Args:
          title: Its heading.
          subtitle: The sentence under the heading.
          above: The small line above it.
          style: CSS that this page needs beyond the common look.
          script: JavaScript that runs when all of the page is there. With one, the browser is told
            to run nothing else and to load nothing from anywhere.
        """
        self._style = style
        self._script = Html(script)
        self._title = title
        self._top = [
            tag("p", above, class_="above"),
            tag("h1", title),
            *([tag("p", subtitle, class_="subtitle")] if subtitle else []),
        ]
        self._links: list[Html] = []
        self._blocks: list[Html] = []

    def section(self, title: str, body: Html, lead: str = "") -> None:
        """Adds a section with a heading, an optional line that introduces it, and its body."""
        name = re.sub(r"\W+", "-", title.lower()).strip("-")
        parts = [tag("h2", title), *([tag("p", lead, class_="lead")] if lead else []), body]
        self._links.append(tag("a", title, href=f"#{name}"))
        self._blocks.append(tag("section", *parts, id=name))

    def figure(self, svg: Html, caption: str = "") -> None:
        """Adds a picture after what stands on the page."""
        self._blocks.append(figure(svg, caption))

    def render(self) -> str:
        """The whole document as text."""
        head = join(
            [
                Html('<meta charset="utf-8">'),
                Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
                Html('<meta name="color-scheme" content="light dark">'),
                *([_policy(self._script)] if self._script else []),
                tag("title", self._title),
                tag("style", Html(_variables() + _STYLE + self._style)),
            ]
        )
        nav = [tag("nav", *self._links, aria_label="Sections")] if self._links else []
        main = tag("main", tag("header", *self._top, *nav), *self._blocks)
        body = tag("body", main, *([tag("script", self._script)] if self._script else []))
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}</html>\n'

    def write(self, path: Path) -> None:
        """Writes the page to `path`."""
        path.write_text(self.render(), encoding="utf-8")


def standalone(svg: Html) -> str:
    """A picture of the page as an `.svg` file of its own, for a README; it follows the scheme."""
    style = _variables() + "svg{background:var(--paper);font-family:var(--sans)}"
    return re.sub(r"(<svg[^>]*>)", lambda m: f"{m[1]}<style>{style}</style>", svg, count=1)


def _policy(script: str) -> Html:
    """What the browser may run and load: this script by its hash, pictures in the page itself."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    content = f"{allowed}script-src 'sha256-{digest}'"
    return void("meta", http_equiv="Content-Security-Policy", content=content)


def _variables() -> str:
    def block(colours: dict[str, str]) -> str:
        return "".join(f"--{role}:{value};" for role, value in colours.items())

    return (
        f":root{{{block(LIGHT)}{_FONTS}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{block(DARK)}}}}}"
    )


_FONTS = (
    "--sans:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','Liberation Sans',Arial,"
    "sans-serif;--serif:'Iowan Old Style','Palatino Linotype',Palatino,'Source Serif 4',"
    "'Liberation Serif',Georgia,serif;"
)

_STYLE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.6 var(--sans)}
main{max-width:66rem;margin:0 auto;padding:4rem 1.5rem 6rem}
header{margin-bottom:3.5rem}
h1,h2,.subtitle{font-family:var(--serif);font-weight:500;text-wrap:balance}
h1{font-size:clamp(1.9rem,1.3rem + 2.6vw,3rem);line-height:1.15;margin:.3rem 0 1.2rem;
  letter-spacing:-.015em}
h2{font-size:1.6rem;line-height:1.25;margin:0 0 .6rem;letter-spacing:-.01em}
h3{font-size:.95rem;font-weight:600;margin:0}
p{margin:0 0 1rem}
section>ul{margin:0 0 2rem;padding-left:1.1rem;max-width:46rem}
section>ul li{margin:.35rem 0}
li::marker{color:var(--accent)}
a{color:var(--accent);text-underline-offset:.2em}
.above{color:var(--accent);font-size:.8rem;font-weight:600;letter-spacing:.09em;margin:0;
  text-transform:uppercase}
.subtitle{font-size:1.22rem;line-height:1.5;max-width:46rem;text-wrap:pretty}
.lead{color:var(--muted);max-width:46rem;margin-bottom:1.6rem;text-wrap:pretty}
nav{display:flex;flex-wrap:wrap;gap:.35rem 1.4rem;margin-top:2rem;padding-top:.9rem;
  border-top:1px solid var(--rule);font-size:.88rem}
nav a{color:var(--muted);text-decoration:none}
nav a:hover{color:var(--accent);text-decoration:underline}
section{margin-top:4.2rem;scroll-margin-top:1.5rem}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));
  gap:2rem 2.5rem;align-items:start}
.grid>*{min-width:0}
figure{margin:0}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--muted);font-size:.85rem;line-height:1.5;margin-top:.6rem}
.scroll{overflow-x:auto;margin:0 0 1.2rem;padding-bottom:1px;scrollbar-width:thin}
.grid+.scroll,dl+.scroll{margin-top:2rem}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:3px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.9rem;
  font-variant-numeric:tabular-nums}
th,td{padding:.6rem .9rem;text-align:right;white-space:nowrap;vertical-align:baseline}
th:first-child{text-align:left;padding-left:.25rem;position:sticky;left:0;background:var(--paper)}
thead th{color:var(--muted);font-size:.8rem;font-weight:500;vertical-align:bottom;
  border-top:1.5px solid var(--ink);border-bottom:1px solid var(--rule)}
tbody tr:last-child>*{border-bottom:1.5px solid var(--ink)}
tbody th{font-weight:500}
tbody tr+tr>*{border-top:1px solid var(--rule)}
.strong{background:var(--wash)}
tbody .strong{font-weight:600}
small{color:var(--muted);font-size:.8em;font-weight:400}
td small,th small{display:block}
thead small{white-space:normal;max-width:9rem;margin-left:auto}
.grid table{font-size:.86rem}
.grid th,.grid td{padding:.34rem .45rem}
.grid th{white-space:normal}
.grid th:first-child{padding-left:.25rem}
.note{color:var(--muted);font-size:.82rem;line-height:1.55;max-width:58rem;margin-bottom:2.6rem}
summary{cursor:pointer;color:var(--accent);font-size:.92rem;margin-bottom:1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.6rem;margin:0;font-size:.9rem}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
code{font-size:.9em}
@media (max-width:40rem){main{padding:2.2rem 1.1rem 4rem}section{margin-top:3.2rem}
  .subtitle{font-size:1.1rem}th,td{padding:.5rem .45rem}
  th{white-space:normal}th:first-child{min-width:6rem;max-width:8rem;overflow-wrap:break-word}}
@media print{main{max-width:none;padding:0}nav{display:none}section{margin-top:2rem}
  figure,tr,article{break-inside:avoid}h2{break-after:avoid}.scroll{overflow:visible}}
"""
