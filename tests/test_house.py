"""The house's own rules: imports run one way, files stay short, names explain themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import chexjax

PACKAGE = Path(chexjax.__file__).parent
GROUND = [
    *("artefacts", "checkpoint", "config", "distributed"),
    *("malloc", "mesh", "page", "preemption", "rng", "rows", "trackers"),
]
FLOORS = [
    ["chexjax"],  # the package itself, chexjax/__init__.py: stands below everything
    GROUND,
    ["families", "losses", "ops"],
    ["data", "models"],
    ["engine", "weights"],
    ["judges", "train"],
    ["evaluate", "perf", "serve", "testing"],
    ["stages"],
    ["__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAX_LINES = 600
SLOW = {
    *("matplotlib.axes", "matplotlib.figure", "matplotlib.pyplot", "scipy.stats", "torch"),
    *("transformers.AutoTokenizer", "transformers.BertTokenizer"),  # bring torch, where it is
}
"""What takes a second or more to import."""
PEERS = "chexjax.perf.peers."
"""Imported by `bench`, when it runs them."""

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def module_of(file: Path) -> str:
    """The dotted name under which `file` is imported."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """`chexjax.data.study` -> `data`; the package itself -> `chexjax`."""
    return module.split(".")[1] if "." in module else module


def imported(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import of the package, at whatever depth of the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: (None if is_package else -1)]
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, [base, node.module]))
            # `from chexjax import losses` names a room; what it names elsewhere is inside one.
            inside = origin == "chexjax"
            names = [f"{origin}.{alias.name}" if inside else origin for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "chexjax")


def broken_imports(tree: ast.Module, module: str, *, is_package: bool = False) -> list[str]:
    """The imports that go up the house or across to a room of the same floor."""
    room = room_of(module)
    broken = []
    for line, name in imported(tree, module, is_package=is_package):
        target = room_of(name)
        if target == room or FLOOR.get(target, 0) < FLOOR[room]:
            continue
        if target in GROUND and room in GROUND:
            continue
        broken.append(f"{module}:{line} imports {name}")
    return broken


def undocumented(node: ast.AST, name: str) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring."""
    if not ast.get_docstring(node):  # type: ignore[arg-type]
        yield name
    for child in getattr(node, "body", []):
        public = isinstance(
            child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and not child.name.startswith("_")
        if public and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from undocumented(child, f"{name}.{child.name}")


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(module_of(file)) for file in FILES}
    assert rooms <= set(FLOOR), f"rooms that the house does not know: {rooms - set(FLOOR)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: module_of(file))
def test_imports_go_down(file: Path) -> None:
    is_package = file.name == "__init__.py"
    assert not broken_imports(TREES[file], module_of(file), is_package=is_package)


@pytest.mark.parametrize(
    ("module", "source", "allowed"),
    [
        ("chexjax.models.vlm", "from chexjax.ops import attention", True),
        ("chexjax.models.vlm", "from chexjax.data.study import Study", False),
        ("chexjax.models.vlm", "def f():\n    import chexjax.engine.generate", False),
        ("chexjax.models.vlm", "from . import block", True),
        ("chexjax.models.vlm", "from ..train import loop", False),
        ("chexjax.losses.dpo", "from chexjax import ops", False),
        ("chexjax.rows", "from chexjax import artefacts", True),
        ("chexjax.rows", "from chexjax.data.study import Study", False),
        ("chexjax.judges.oracle", "from chexjax.train import fit", False),
        ("chexjax.stages.run", "from chexjax.evaluate import write", True),
        ("chexjax.stages.run", "import numpy, jax.numpy", True),
    ],
)
def test_the_import_rule_itself(module: str, source: str, allowed: bool) -> None:
    assert (broken_imports(ast.parse(source), module) == []) == allowed


def imported_at_start(tree: ast.Module) -> Iterator[str]:
    """Dotted names of what is imported with a module, and not later by one of its functions."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_command_waits_for_a_slow_library_that_it_does_not_need() -> None:
    """Each process of a job imports every stage."""
    slow = {module_of(file) for file in FILES if SLOW & set(imported_at_start(TREES[file]))}
    assert all(name.startswith(PEERS) for name in slow)


def test_no_file_is_long() -> None:
    lines = {module_of(file): file.read_text(encoding="utf-8").count("\n") for file in FILES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [module_of(file) for file in FILES if drawers & set(module_of(file).split("."))] == []


def test_every_public_name_is_documented() -> None:
    missing = [name for file in FILES for name in undocumented(TREES[file], module_of(file))]
    assert missing == []
