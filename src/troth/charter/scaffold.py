"""A charter, a scenario and a task to begin with: `troth new`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from troth.errors import UsageError, reason_of
from troth.protocols.registry import PROTOCOLS
from troth.specification import NAME_PATTERN

_FILES = ("charter.toml", "scenario.toml", "task.py")


def scaffold(folder: Path, name: str) -> list[Path]:
    """Writes a charter called `name`, a scenario and a task into `folder`, which may exist.

    They can be simulated as they are, offline.

    Returns:
      The files written; the second is the scenario.

    Raises:
      UsageError: one of the files exists already, `name` is no name of a charter, or `folder`
        cannot be written to.
    """
    if re.search(NAME_PATTERN, name) is None:
        raise UsageError(
            f'name = "{name}" is not 1 to 64 lower-case letters, digits, dots, dashes, underscores',
            hint="begin with a letter or a digit: my-charter",
        )
    targets = [folder / file for file in _FILES]
    for target in targets:
        if target.exists():
            raise UsageError(
                f"{target} exists already, and would be overwritten", hint="name another folder"
            )
    templates = files("troth.charter").joinpath("templates")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            text = templates.joinpath(target.name).read_text(encoding="utf-8")
            target.write_text(
                Template(text).substitute(name=name, protocol=PROTOCOLS[0].name), encoding="utf-8"
            )
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be written: {reason_of(error)}",
            hint="name a folder that you may write to",
        ) from None
    return targets
