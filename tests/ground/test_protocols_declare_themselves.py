"""Nobody but a protocol's own package, its attackers and the two registries names a protocol.

A file names one if it imports from its package, if its code has the name of its table, as a name
or as a string, or if it has the protocol's name as a word. Docstrings and comments may cite papers
by their names; what a charter calls a protocol stands in none of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import troth
from troth.protocols.registry import PROTOCOLS

SOURCE = Path(troth.__file__).parent
NAMES = {protocol.name for protocol in PROTOCOLS}
TABLES = {protocol.parameters.__name__ for protocol in PROTOCOLS}
WORD = re.compile(rf"(?<![\w-])({'|'.join(sorted(NAMES))})(?![\w-])")
ORDINARY = {"federated learning"}
"""Words of the field that happen to hold the name of a protocol."""


def may_name_a_protocol(file: Path) -> bool:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    own = parts[0] == "protocols" and parts[1:2] and parts[1] in {*NAMES, "registry"}
    attackers = parts[0] == "attacks" and parts[1:2] and parts[1] in {*NAMES, "registry"}
    return bool(own or attackers)


def named_in(file: Path, text: str) -> Iterator[str]:
    """Where `text`, the content of `file`, names a protocol."""
    plain = text
    for word in ORDINARY:
        plain = plain.replace(word, "")
    if file.suffix != ".py":
        for found in WORD.finditer(plain):
            yield f"{file}: {found[0]}"
        return
    tree = ast.parse(text)
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                modules = [alias.name for alias in node.names]
            case ast.ImportFrom(module=module, names=names):
                modules = [f"{module}.{alias.name}" for alias in names]
            case ast.Name(id=id) | ast.Attribute(attr=id):
                modules = []
                if id in TABLES:
                    yield f"{file}:{node.lineno}: {id}"
            case ast.Constant(value=str(value)):
                modules = []
                if value in TABLES:
                    yield f"{file}:{node.lineno}: {value!r}"
            case _:
                continue
        for module in modules:
            parts = module.split(".")
            if parts[:2] == ["troth", "protocols"] and NAMES & set(parts[2:3]):
                yield f"{file}:{node.lineno}: imports {module}"
    for number, line in enumerate(plain.splitlines(), start=1):
        for found in WORD.finditer(line):
            if not line.lstrip().startswith(("from ", "import ")):
                yield f"{file}:{number}: {found[0]}"


def test_no_file_outside_names_a_protocol() -> None:
    files = [
        file
        for file in sorted(SOURCE.rglob("*"))
        if file.is_file() and file.suffix in (".py", ".toml", ".j2", ".css", ".js", ".html")
    ]
    outside = [file for file in files if not may_name_a_protocol(file)]
    assert len(outside) > 200
    assert len(outside) < len(files)
    named = [place for file in outside for place in named_in(file, file.read_text("utf-8"))]
    assert not named, f"{len(named)} places name a protocol:\n" + "\n".join(named)


@pytest.mark.parametrize(
    "text",
    [
        "from troth.protocols.biscotti.parameters import Biscotti\n",
        "def f():\n    from troth.protocols import tormentor\n",
        "import troth.protocols.federated.roles\n",
        "def f(p):\n    return isinstance(p, DSSGD)\n",
        "def f(p):\n    match p:\n        case parameters.Tormentor():\n            return 1\n",
        'name = "standalone"\n',
        'def f(p):\n    return type(p).__name__ == "Biscotti"\n',
        "x = 1  # as in `federated`\n",
    ],
)
def test_each_way_of_naming_one_is_noticed(text: str) -> None:
    assert list(named_in(Path("example.py"), text))


@pytest.mark.parametrize(
    "text",
    [
        '"""The rule of Krum; Biscotti, section 4.5, uses m = P - f."""\n',
        '"""A network in which federated learning is simulated."""\n',
        "from troth.protocols.lookup import protocol_of\n",
    ],
)
def test_papers_may_be_cited(text: str) -> None:
    assert not list(named_in(Path("example.py"), text))
