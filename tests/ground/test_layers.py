"""Imports go down only: the table of layers, and who may not know whom.

Every import statement counts, wherever it stands: one inside a function is still a dependency.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import troth

SOURCE = Path(troth.__file__).parent

LAYERS = (
    (
        "ids",
        "errors",
        "wire",
        "streams",
        "compute",
        "records",
        "specification",
        "references",
        "lazy",
        "pieces",
    ),
    ("roles", "learning", "privacy", "robustness", "crypto", "chain", "data"),
    ("protocols",),
    ("attacks",),
    ("worlds", "engines", "charter"),
    ("cli", "report", "simulation", "deployment", "operation", "reproduction", "runs"),
)
"""From the ground up. The package `troth` itself stands above them all. `operation` stands for all
`protocols/NAME/operation/`: what a protocol has on higher floors."""

CONTRACT = "troth.protocols.protocol"
"""What every protocol's package may import of what stands beside it."""

TABLES = ("spec", "parameters")
"""Plain tables of the charter: importing them from the same layer makes no cycle."""

HONEST = (
    "roles", "learning", "privacy", "robustness", "crypto", "chain", "data", "protocols", "engines",
    "worlds.real",
)  # fmt: skip
"""Must run the same whether or not anybody attacks; only the simulated world plants attackers."""

FORBIDDEN_IN_PROTOCOLS = ("asyncio", "socket", "time", "random", "troth.engines", "troth.worlds")


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        path = SOURCE.joinpath(*self.importer.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return f"{file.relative_to(SOURCE.parent)}:{self.line} imports {self.imported}"


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(module: str, tree: ast.Module, is_package: bool) -> Iterator[Import]:
    """What a module's import statements name; `from x import y` names x.y if that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")
                above = here[: len(here) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                longer = f"{base}.{alias.name}"
                yield Import(module, longer if is_module(longer) else base, node.lineno)


def is_module(name: str) -> bool:
    if not name.startswith("troth."):
        return False
    path = SOURCE.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def all_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        found += imports_of(module_name(file), tree, file.name == "__init__.py")
    return tuple(found)


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def own_imports() -> list[Import]:
    """Imports of the project by the project, but for `troth/__init__.py`, which is the top."""
    return [
        found
        for found in all_imports()
        if inside(found.imported, "troth") and found.importer != "troth"
    ]


def part(module: str) -> str:
    """`learning` for `troth.learning.models`, `operation` for `troth.protocols.NAME.operation`."""
    parts = module.split(".")
    return "operation" if parts[3:4] == ["operation"] else parts[1]


def height(name: str) -> int:
    found = [index for index, layer in enumerate(LAYERS) if name in layer]
    assert found, f"give {name} a place in LAYERS in {__file__}"
    return found[0]


def report(broken: list[Import], rule: str) -> str:
    return "\n".join([f"{rule}:", *(f"  {found}" for found in broken)])


def test_every_part_has_a_layer() -> None:
    known = {name for layer in LAYERS for name in layer}
    parts = {part(module_name(file)) for file in SOURCE.rglob("*.py") if file.parent != SOURCE}
    parts |= {
        file.stem for file in SOURCE.glob("*.py") if file.stem not in ("__init__", "__main__")
    }
    assert parts <= known, f"give {sorted(parts - known)} a place in LAYERS in {__file__}"
    assert {"learning", "protocols", "worlds", "cli"} <= parts


def test_nothing_imports_the_top() -> None:
    broken = [found for found in own_imports() if found.imported == "troth"]
    assert not broken, report(broken, "import from the module that defines it, not from troth")


def test_imports_go_down_only() -> None:
    broken = [
        found
        for found in own_imports()
        if found.imported != "troth" and height(part(found.imported)) > height(part(found.importer))
    ]
    rule = " -> ".join(", ".join(layer) for layer in reversed(LAYERS))
    assert not broken, report(broken, f"imports go down only: {rule}")


def test_parts_do_not_import_each_other_in_a_circle() -> None:
    """Within a layer one part may use another, tables aside, as long as the order is clear."""
    edges: dict[str, dict[str, Import]] = {}
    for found in own_imports():
        table = found.imported.split(".")[-1] in TABLES
        if found.imported != "troth" and not table and part(found.importer) != part(found.imported):
            edges.setdefault(part(found.importer), {}).setdefault(part(found.imported), found)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...], along: list[Import]) -> None:
        assert name not in path, report(along, f"a circle: {' -> '.join((*path, name))}")
        if name not in done:
            for below, found in sorted(edges.get(name, {}).items()):
                visit(below, (*path, name), [*along, found])
            done.add(name)

    for name in sorted(edges):
        visit(name, (), [])
    assert "protocols" in done


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """No module needs itself, tables included; imports for types only are no need."""
    edges: dict[str, set[str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
            if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
                block.body = [ast.Pass()]
        module = module_name(file)
        needed = {found.imported for found in imports_of(module, tree, file.stem == "__init__")}
        edges[module] = {name for name in needed if name not in (module, "troth")}
    assert len(edges) > 300
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(f"modules that import each other in a circle: {' -> '.join(error.args[1])}")


def test_protocols_know_no_engine_no_clock_and_no_network() -> None:
    broken = [
        found
        for found in all_imports()
        if inside(found.importer, "troth.protocols")
        and part(found.importer) == "protocols"
        and inside(found.imported, *FORBIDDEN_IN_PROTOCOLS)
    ]
    assert not broken, report(broken, f"protocols may not import {FORBIDDEN_IN_PROTOCOLS}")


def test_no_protocol_imports_another() -> None:
    """A module beside the protocols' packages may know all of them; no package knows it."""
    packages = [f"troth.protocols.{path.name}" for path in (SOURCE / "protocols").glob("*/")]
    broken = [
        found
        for found in own_imports()
        if inside(found.importer, *packages)
        and inside(found.imported, "troth.protocols")
        and found.imported != CONTRACT
        and found.importer.split(".")[2:3] != found.imported.split(".")[2:3]
    ]
    assert len(packages) >= 4
    assert not broken, report(broken, "no protocol imports another")


def test_honest_code_never_imports_attacks() -> None:
    honest = [f"troth.{name}" for name in HONEST]
    broken = [
        found
        for found in own_imports()
        if inside(found.importer, *honest) and inside(found.imported, "troth.attacks")
    ]
    assert not broken, report(broken, "honest code never imports attacks")


def test_the_ground_and_the_tables_stand_on_nothing_else() -> None:
    """What a charter is made of loads without PyTorch, and so does everything it imports."""
    ground = tuple(f"troth.{name}" for name in LAYERS[0])
    heavy = ("torch", "polars", "sklearn", "matplotlib", "rich", "pandas", "scipy")
    broken = [
        found
        for found in all_imports()
        if (inside(found.importer, *ground) or found.importer.split(".")[-1] in TABLES)
        and inside(found.imported, *heavy)
    ]
    assert not broken, report(broken, "ground and table modules stay light")


def random_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Draws that no `Stream` names: `np.random.<function>`, `torch.manual_seed`, `torch.seed`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        dotted = ast.unparse(node)
        numpy_global = dotted.startswith(("np.random.", "numpy.random.")) and node.attr not in (
            "Generator", "Philox",
        )  # fmt: skip
        if numpy_global or dotted in ("torch.manual_seed", "torch.seed"):
            yield node.lineno, dotted


@pytest.mark.parametrize("text", ["np.random.normal()", "numpy.random.seed(1)", "torch.seed()"])
def test_unnamed_draws_are_noticed(text: str) -> None:
    assert list(random_calls(ast.parse(text)))


WATCHES_CHANCE = "troth.learning.chance"
"""Seeds and watches the generators of code that is not ours, and draws from none."""


def test_random_numbers_come_from_streams_only() -> None:
    broken = [
        str(found)
        for found in all_imports()
        if inside(found.imported, "random") and found.importer != WATCHES_CHANCE
    ]
    for file in sorted(SOURCE.rglob("*.py")):
        if module_name(file) == WATCHES_CHANCE:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        broken += [f"{module_name(file)}:{line} uses {name}" for line, name in random_calls(tree)]
    assert not broken, "draw from a troth.streams.Stream instead:\n  " + "\n  ".join(broken)
