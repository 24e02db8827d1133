"""Reads and runs the code blocks of a Markdown file.

The `python` blocks of one file share a namespace, as a reader would type them into one prompt.
A `console` block is what a reader types after `$ `; the lines below a command are its output
(standard output and standard error together), where `...` stands for anything. A command must
succeed, unless the output shown has a line that begins with `error: `.

A block under `<!-- not run: reason -->` is left alone.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

EXECUTED = ("python", "console")
NOT_ALLOWED = ("bash", "sh", "shell", "shell-session", "py", "pycon")
"""Would look like code that is tested; write `python` or `console`."""

MARK = re.compile(r"<!--\s*not run\b:?(?P<reason>.*?)-->", re.DOTALL)


class SnippetError(AssertionError):
    """A document shows something that is not so."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence, from 1."""

    file: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def place(self) -> str:
        return f"{self.file.name}:{self.line}"


def blocks_of(file: Path) -> list[Block]:
    """Every fenced block of the file, in order.

    Raises:
      SnippetError: a mark has no reason or stands above no block; a language is not allowed.
    """
    blocks: list[Block] = []
    mark: tuple[int, str] | None = None
    for token in MarkdownIt("commonmark").parse(file.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and (found := MARK.search(token.content)):
            mark = (line, found["reason"].strip())
            if not mark[1]:
                raise SnippetError(f"{file.name}:{line} does not say why its block is not run")
            continue
        if token.type == "fence":
            language = token.info.split()[0] if token.info.split() else ""
            if language in NOT_ALLOWED:
                raise SnippetError(f"{file.name}:{line} is {language}, not one of {EXECUTED}")
            reason = mark[1] if mark else None
            blocks.append(Block(file, line, language, token.content, reason))
        elif mark:
            raise SnippetError(f"{file.name}:{mark[0]} marks no block: one must follow at once")
        mark = None
    if mark:
        raise SnippetError(f"{file.name}:{mark[0]} marks no block: one must follow at once")
    return blocks


def commands_of(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it."""
    commands: list[tuple[str, str]] = []
    continued = False
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], ""))
        elif not commands:
            raise SnippetError(f"{block.place} begins with output: {line}")
        else:
            command, output = commands[-1]
            commands[-1] = (f"{command}\n{line}", output) if continued else (
                command, f"{output}{line}\n"
            )  # fmt: skip
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return commands


def environment() -> dict[str, str]:
    """This interpreter's commands first, no data but what comes with a dependency, no colours."""
    kept = {name: value for name, value in os.environ.items() if name != "TROTH_DATA"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "100"}


def run_console(block: Block, folder: Path) -> None:
    """Run the block's commands in `folder`, each in a shell of its own.

    Raises:
      SnippetError: one fails, or prints something else than the block shows.
    """
    for command, shown in commands_of(block):
        result = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        may_fail = any(line.startswith("error: ") for line in shown.splitlines())
        if (result.returncode != 0) != may_fail:
            raise SnippetError(
                f"{block.place}: {command} ended with {result.returncode}:\n{result.stdout}"
            )
        if shown and not same_output(shown, result.stdout):
            raise SnippetError(
                f"{block.place}: {command} printed\n{result.stdout}\ninstead of\n{shown}"
            )


def same_output(shown: str, printed: str) -> bool:
    """Whether `printed` is what the document shows; spaces and blank lines at the ends aside."""
    wanted, got = (
        "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines())
        for text in (shown, printed)
    )
    return doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    """Run the block in `namespace`; a traceback shows the document's own lines."""
    source = "\n" * block.line + block.text
    exec(compile(source, str(block.file), "exec"), namespace)


def run_all(blocks: list[Block], folder: Path) -> int:
    """Run every block that is not marked, in order, and say how many those were.

    The caller has made `folder` the current one.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    executed = [block for block in blocks if block.language in EXECUTED and block.not_run is None]
    for block in executed:
        if block.language == "python":
            run_python(block, namespace)
        else:
            run_console(block, folder)
    return len(executed)
