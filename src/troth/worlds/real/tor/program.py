"""The `tor` program of this machine: where it is, and whether it can do what is needed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from dataclasses import dataclass

from troth.errors import UsageError, reason_of

OLDEST = (0, 4, 7)
"""The first version with vanguards-lite, without which an onion service's guard is found soon."""

FURTHER_PLACES = ("/usr/sbin", "/usr/local/sbin")
"""Where tor is looked for beside the search path, which has no such folders for ordinary users."""

INSTALL = "install it, as with: apt-get install tor"


@dataclass(frozen=True)
class TorProgram:
    path: str
    version: tuple[int, ...]
    proof_of_work: bool
    """Whether an onion service can ask clients for puzzles while it is flooded (since 0.4.8)."""


async def find_tor() -> TorProgram:
    """Find the `tor` on the search path or in `FURTHER_PLACES`, and ask it what it can do.

    Raises:
      UsageError: there is none, or it is older than `OLDEST`.
    """
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *FURTHER_PLACES))
    path = shutil.which("tor", path=places)
    if path is None:
        raise UsageError("there is no program tor on this machine", hint=INSTALL)
    said = await _ask(path, "--version")
    found = re.match(r"Tor version (\d+(?:\.\d+)+)", said)
    if found is None:
        raise UsageError(f"{path} does not say which version of Tor it is", hint=INSTALL)
    version = tuple(int(part) for part in found[1].split("."))
    if version < OLDEST:
        raise UsageError(
            f"{path} is version {found[1]}, older than {'.'.join(map(str, OLDEST))}",
            hint="take a newer one, from Debian's backports or deb.torproject.org",
        )
    modules = await _ask(path, "--list-modules")
    return TorProgram(path, version, "pow: yes" in modules.splitlines())


async def _ask(path: str, question: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            question,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be run: {reason_of(error)}", hint=INSTALL) from None
    said, _ = await process.communicate()
    return said.decode(errors="replace")
