"""The page that readers answer on: one case at a time, in one file that needs no network.

Each case is a form in plain markup, so that every text on it is escaped where it enters; the
script beside this module shows the forms, keeps what is filled in, and measures reading time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from chexjax.artefacts import write_atomic
from chexjax.data.study import Study
from chexjax.evaluate.picture import picture
from chexjax.page import Html, Page, join, tag, void

SCRIPT = Path(__file__).with_name("reader.js")

_NAME = re.compile(r"[\w.-]+")
_LARGER = "click to enlarge"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One form.

    Attributes:
      name: What the page calls it; no study id, which could tell a reader more.
      study: Whose images and indication it shows.
      body: Reports and fields.
      data: Data attributes of the form, which the script reads.
    """

    name: str
    study: Study
    body: Html
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What is asked on a page.

    Attributes:
      title: Heading of the page.
      lead: What the reader is to do.
      columns: Names of the fields; columns of the CSV.
      required: The field that answers a case.
      keys: Key and what it does, for the line about the keyboard.
      readers: Who may answer; empty for anybody, who then gives a name.
    """

    title: str
    lead: str
    columns: Sequence[str]
    required: str
    keys: Mapping[str, str]
    readers: Sequence[str] = ()


def check_names(names: Sequence[str], where: str) -> None:
    """Raises ValueError where a name is not one word, or stands there twice."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: {name!r} is no name; use letters, digits, '_', '-' and '.'")
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: {', '.join(names)} has a name twice; give each once")


def write_page(path: Path, form: Form, cases: Sequence[Case], side: int) -> str:
    """Writes the page.

    Args:
      path: The file.
      form: What is asked.
      cases: In the order they are shown in.
      side: Longest side of a picture, pixels.

    Returns:
      The page's name, a digest of what it shows, which stands in every row of its answers.
    """
    shown = join(_case(case, side) for case in cases)
    digest = hashlib.sha256(shown.encode()).hexdigest()[:12]
    page = Page(
        form.title,
        form.lead,
        above="chexjax readers",
        style=_STYLE,
        script=SCRIPT.read_text(encoding="utf-8"),
    )
    page.section("You", _opening(form))
    data = {"data_columns": " ".join(form.columns), "data_required": form.required}
    area = tag("div", shown, _bar(), id="forms", hidden="", data_page=digest, **data)
    page.section("Cases", area)
    write_atomic(path, page.render())
    return digest


def _opening(form: Form) -> Html:
    if form.readers:
        options = (tag("option", name, value=name) for name in ("", *form.readers))
        field = tag("select", *options, id="reader")
    else:
        field = void("input", type="text", id="reader", autocomplete="off", maxlength="60")
    keys = {**form.keys, "n": "next case", "p": "previous case"}
    said = (tag("span", tag("kbd", key), f" {what}") for key, what in keys.items())
    return join(
        [
            tag("label", "Reader ", field, class_="who"),
            tag("p", _KEPT, class_="note"),
            tag("p", *said, class_="keys"),
            tag("p", _NOT_KEPT, id="notice", hidden="", role="alert"),
        ]
    )


def _bar() -> Html:
    def button(name: str, label: str) -> Html:
        return tag("button", label, type="button", id=name)

    return tag(
        "div",
        button("previous", "Previous"),
        tag("span", id="position", aria_live="polite"),
        button("next", "Next"),
        button("save", "Save answers (CSV)"),
        class_="bar",
    )


def _case(case: Case, side: int) -> Html:
    study = case.study
    films = (
        picture(data, view.lower(), side=side, form="JPEG", title=_LARGER)
        for data, view in zip(study.images[:2], study.views[:2], strict=True)
    )
    left = tag(
        "div",
        tag("div", *films, class_="films"),
        tag("p", tag("b", "Indication"), " ", study.indication or "None"),
    )
    data = {f"data_{name}": value for name, value in case.data.items()}
    body = tag("div", left, tag("div", case.body), class_="case")
    return tag("form", body, data_case=case.name, hidden="", **data)


def choice(
    name: str, options: Mapping[str, str], *, kind: str = "radio", keys: Mapping[str, str] = {}
) -> Html:
    """Radio buttons or check boxes of one field: value -> label, and the keys that press them."""
    return join(
        tag(
            "label",
            void(
                "input",
                type=kind,
                name=name,
                value=value,
                **({"data_key": keys[value]} if value in keys else {}),
            ),
            tag("span", label),
        )
        for value, label in options.items()
    )


_KEPT = (
    "Answers stay in this browser as you give them, under the name above: close the page and come "
    "back whenever you like. When you are done, save the CSV and send it to who sent you the page. "
    "Time counts only while the page is in front."
)
_NOT_KEPT = (
    "This browser does not keep answers of a page that was opened from a file. Save the CSV before "
    "you leave, or use another browser."
)

_STYLE = """
main{max-width:90rem;padding-top:2rem}header{margin-bottom:1.5rem}section{margin-top:1.8rem}
[hidden]{display:none!important}
input,select,button,textarea{font:inherit;color:inherit}
.who input,.who select,textarea{background:var(--card);border:1px solid var(--neutral);
  border-radius:.3rem;padding:.35rem .6rem}
.note{margin:.8rem 0}
.keys{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;font-size:.85rem;color:var(--muted)}
kbd{border:1px solid var(--rule);border-radius:.25rem;padding:0 .35rem;font-size:.8rem}
#notice{color:var(--wrong);font-weight:600}
#forms{scroll-margin-top:1rem}
.case{display:grid;grid-template-columns:minmax(0,2fr) minmax(0,3fr);gap:1.5rem 2.2rem;
  align-items:start;padding-bottom:5rem}
.films{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,14rem),1fr));gap:.5rem;
  margin-bottom:.8rem}
.films img{display:block;width:100%;background:#000;border-radius:.25rem;cursor:zoom-in}
.films img.large{position:fixed;inset:0;z-index:2;width:100vw;height:100vh;object-fit:contain;
  border-radius:0;cursor:zoom-out}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:1.2rem 1.8rem}
h3{padding-bottom:.3rem;border-bottom:1px solid var(--rule);margin-bottom:.6rem}
.report{white-space:pre-wrap;overflow-wrap:break-word}
.reference{border-left:3px solid var(--rule);padding-left:1rem;margin-bottom:1.4rem}
fieldset{border:0;margin:1rem 0 0;padding:0}
legend{font-size:.85rem;color:var(--muted);padding:0;margin-bottom:.3rem}
fieldset label{display:flex;gap:.5rem;align-items:baseline;font-size:.88rem;line-height:1.5}
.answer{display:flex;flex-wrap:wrap;gap:.6rem}
.answer legend{width:100%}
.answer label{border:1px solid var(--neutral);border-radius:.4rem;padding:.5rem 1rem;font-size:1rem;
  cursor:pointer}
.answer label:has(:checked){background:var(--wash);border-color:var(--accent)}
.comment{display:block;margin-top:1.2rem;font-size:.85rem;color:var(--muted)}
textarea{display:block;width:100%;min-height:4.5rem;resize:vertical;line-height:1.6}
textarea[name=report]{min-height:22rem;margin-bottom:.8rem;font-size:1rem}
textarea:read-only{background:none}
.bar{position:fixed;left:0;right:0;bottom:0;z-index:1;display:flex;flex-wrap:wrap;gap:.5rem 1rem;
  align-items:center;justify-content:center;padding:.7rem 1rem;background:var(--card);
  border-top:1px solid var(--rule)}
#position{font-size:.88rem;color:var(--muted);font-variant-numeric:tabular-nums}
button{background:var(--paper);border:1px solid var(--neutral);border-radius:.4rem;
  padding:.4rem 1rem;cursor:pointer}
#save{color:var(--accent);border-color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
@media (max-width:56rem){.case{grid-template-columns:1fr}}
@media (max-width:40rem){.sides{grid-template-columns:1fr}}
"""
