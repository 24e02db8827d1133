"""Tor's configuration file: what Troth writes, and the lines that a user may add to it.

What may be added is listed, not what may not: tor takes abbreviations of its options' names and
has some four hundred of them, so a list of forbidden ones would have holes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from troth.errors import UsageError, reason_of

MAX_CONFIG_BYTES = 64 * 2**10

Option = tuple[str, str]
"""The name of an option and its value, which is `quoted` where it may hold spaces."""

ALLOWED = (
    # How to get into the Tor network from here.
    "Bridge", "UseBridges", "ClientTransportPlugin", "HTTPSProxy", "HTTPSProxyAuthenticator",
    "Socks4Proxy", "Socks5Proxy", "Socks5ProxyUsername", "Socks5ProxyPassword",
    "OutboundBindAddress", "ReachableAddresses", "FascistFirewall", "FirewallPorts",
    "ClientUseIPv4", "ClientUseIPv6", "ClientPreferIPv6ORPort",
    # Which relays are taken.
    "EntryNodes", "ExcludeNodes", "GeoIPFile", "GeoIPv6File", "StrictNodes",
    # What it takes up.
    "BandwidthRate", "BandwidthBurst", "MaxMemInQueues", "NumCPUs", "ConnectionPadding",
    "ReducedConnectionPadding", "CircuitPadding",
    # Another network than the public one.
    "DirAuthority", "TestingTorNetwork", "PathsNeededToBuildCircuits", "VanguardsLiteEnabled",
)  # fmt: skip
"""Options that a file given by `--tor-config` may set."""

_ALLOWED = {name.lower() for name in ALLOWED}


def quoted(value: str | Path) -> str:
    """A value that may hold spaces and quotation marks, as torrc(5) wants it."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def torrc(options: Sequence[Option], config: str = "") -> str:
    """The text of a torrc: the user's lines (`config`) first, then ours (`options`)."""
    return config + "".join(f"{name} {value}\n" for name, value in options)


def read_config(path: Path) -> str:
    """The lines that a user adds to tor's configuration.

    Raises:
      UsageError: the file cannot be read, or sets an option that is not among `ALLOWED`.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1).decode()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not text in UTF-8") from None
    if len(text) > MAX_CONFIG_BYTES:
        raise UsageError(f"{path}: is longer than {MAX_CONFIG_BYTES} bytes")
    kept = []
    # Not `splitlines`: tor ends lines at a newline only.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        _check_line(f"{path}:{number}", line)
        kept.append(f"{line}\n")
    return "".join(kept)


def _check_line(place: str, line: str) -> None:
    name = re.split(r"\s", line, maxsplit=1)[0]
    if name.lower() not in _ALLOWED:
        raise UsageError(
            f"{place}: {name[:80]!r} is not an option that may be set here",
            hint=f"Troth sets what it relies on itself; free are {', '.join(ALLOWED)}",
        )
    if line.endswith("\\") or not line.isprintable():
        raise UsageError(
            f"{place}: {name} goes on in the next line, or holds control characters",
            hint="write every option in one line",
        )
