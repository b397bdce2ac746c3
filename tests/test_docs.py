"""The pages: their code runs, and what they name is there."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from chexjax.__main__ import main
from chexjax.config.command import parse
from chexjax.config.schema import field_types
from chexjax.data.sources.registry import SOURCES
from chexjax.families import PRESETS
from chexjax.judges import JUDGES
from chexjax.losses import LOSSES
from chexjax.serve import ServeConfig
from chexjax.stages.chain import COMMANDS
from chexjax.stages.config import RunConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RECIPES = sorted((DOCS / "recipes").glob("*.md"))
SHORT = {"source": "source.name", "path": "source.path"}
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, title and text of each fenced block."""
    for found in FENCE.finditer(page.read_text("utf-8")):
        yield found[1], found[2] or "", found[3]


def commands(text: str) -> Iterator[list[str]]:
    """What a block of shell tells `launch/local` to do to a run."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.rstrip("&"), comments=True)
        told = words[words.index("launch/local") + 1 :] if "launch/local" in words else []
        if told and told[0] in COMMANDS and "--config=..." not in told:
            yield [word.replace("$k", "0") for word in told]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder with the configs; what code on the pages does to this process is undone."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "configs", folder / "configs")
    registries = {id(table): (table, dict(table)) for table in (LOSSES, JUDGES, PRESETS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        yield folder
    for table, before in registries.values():
        table.clear()
        table.update(before)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    sys.path_importer_cache.pop("configs", None)


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_the_code_of_a_recipe_runs(page, checkout, capsys):
    """Files are written, code and short commands run, in the order of the page."""
    names = {"__name__": "recipe"}
    for kind, title, text in blocks(page):
        if title:
            (checkout / title).write_text(text)
        elif kind == "python":
            exec(compile(text, str(page), "exec"), names)
        for argv in commands(text) if kind == "bash" else ():
            if "--dry_run" in argv or argv[0] == "ingest":
                assert main(argv) == 0, capsys.readouterr().err


def test_every_command_about_a_run_is_one(checkout):
    shown = [argv for page in PAGES for kind, _, text in blocks(page) for argv in commands(text)]
    for argv in shown:
        named = next((a for a in argv if a.startswith("--config=")), "")
        if not (checkout / named.removeprefix("--config=").partition(":")[0]).is_file():
            continue  # a file that a recipe has the reader write
        parse(argv, list(COMMANDS), RunConfig, short=SHORT, homes={"ingest": "runs"})
    assert len(shown) > 20


def is_field(path: str) -> bool:
    """Whether a dotted path leads to a field of a run's or a server's config."""
    return any(_leads(path.split("."), schema) for schema in (RunConfig, ServeConfig))


def _leads(names: list[str], kind: typing.Any) -> bool:
    if not names or not dataclasses.is_dataclass(kind):
        return not names or typing.get_origin(kind) is dict
    kinds = field_types(typing.cast(type, kind))
    return names[0] in kinds and _leads(names[1:], kinds[names[0]])


def test_every_field_of_a_config_is_one():
    dotted = re.compile(r"(?:--|`)config\.(?!json`)([a-z_0-9]+(?:\.[A-Za-z_0-9]+)*)")
    named = {path for page in PAGES for path in dotted.findall(page.read_text("utf-8"))}
    assert len(named) > 50
    assert [path for path in sorted(named) if not is_field(path)] == []


NAMED = {"losses": LOSSES, "judges": JUDGES, "checkpoints": PRESETS, "data": SOURCES}


@pytest.mark.parametrize(
    ("page", "names"), [(page, list(table)) for page, table in NAMED.items()], ids=NAMED
)
def test_a_page_names_all_that_there_is(page, names):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    assert [name for name in names if f"`{name}`" not in text] == []
