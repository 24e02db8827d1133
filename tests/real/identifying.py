"""What in a message could tell who has sent it, from where, or by which clock.

Each check is precise enough that nothing random is taken for a finding: a number of four bytes is
within a day of now once in 25,000 times, so among random bytes it has to stand at the same place
every time.
"""

from __future__ import annotations

import getpass
import ipaddress
import math
import platform
import re
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from heard import Field, Heard

from troth.worlds.real.tor.onion import SUFFIX

DAY_S = 86_400.0
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
ALIKE = 3
"""A number among random bytes counts if it is in so many different values, and in all of them."""

PROGRAMS = ("troth", "python", "httpx", "httpcore", "h11", "uvicorn", "starlette", "openssl")
HEADERS = (b"date", b"server", b"user-agent", b"via", b"forwarded", b"x-forwarded-for", b"cookie",
           b"set-cookie", b"etag", b"last-modified", b"referer", b"origin", b"from", b"age",
           b"accept-language", b"authorization")  # fmt: skip

DATES = (
    rb"\d{4}-\d{2}-\d{2}",
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +\d{1,2}[ -](Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
    rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2},? +(\d{2}:\d{2}:\d{2}|\d{4})",
    rb"\d{2}:\d{2}:\d{2}",
)
ADDRESS = re.compile(rb"(?<![0-9A-Za-z.])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z])")
COLONS = re.compile(rb"(?<![0-9A-Za-z:.])[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Secrets:
    """What nobody is to learn.

    Args:
      texts: names of parties and of files, of folders, of this machine and of its user.
      numbers: seeds, process ids, numbers of rows, budgets; large or odd enough to be known again.
    """

    texts: Sequence[str] = ()
    numbers: Sequence[int | float] = ()


@dataclass(frozen=True)
class Machine:
    """What this machine and its user could be known by."""

    addresses: Sequence[str] = field(default_factory=lambda: sorted(set(own_addresses())))
    texts: Sequence[str] = field(
        default_factory=lambda: [
            socket.gethostname(), platform.node(), getpass.getuser(), str(Path.home()),
            str(Path.cwd()), platform.python_version(), platform.release(), version("troth"),
        ]
    )  # fmt: skip


def own_addresses() -> Iterator[str]:
    """Of all interfaces, as the kernel lists them."""
    yield from ("127.0.0.1", "::1")
    table = Path("/proc/net/fib_trie").read_text()
    yield from re.findall(r"\|-- ([0-9.]+)\n +/32 host LOCAL", table)
    interfaces = Path("/proc/net/if_inet6")
    for line in interfaces.read_text().splitlines() if interfaces.exists() else ():
        yield str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))


def identifying(messages: Iterable[Heard], machine: Machine, secrets: Secrets) -> list[str]:
    """What there is, in words; empty where there is nothing."""
    found: list[str] = []
    by_place: dict[str, set[bytes]] = defaultdict(set)
    for message in messages:
        found += _in_headers(message)
        found += _in_bytes(message.plain, machine, secrets)
        for place, value in message.fields():
            found += _in_field(place, value, secrets)
            if isinstance(value, bytes):
                by_place[place].add(value)
    for place, values in by_place.items():
        found += [f"{place}: {what}" for what in clocks_in(sorted(values))]
    return found


def clocks_in(values: Sequence[bytes]) -> list[str]:
    """Binary clocks at one place of all of these values, of one kind."""
    found = []
    shortest = min(map(len, values))
    for name, size, read in _FORMATS:
        for place in range(shortest - size + 1):
            near = all(_near_now(read(value[place : place + size])) for value in values)
            # Of four bytes, one value may be near by chance.
            if near and (size == 8 or len(values) >= ALIKE):
                found.append(f"a clock at byte {place}, {name}")
    return found


def _reader(form: str) -> tuple[str, int, Callable[[bytes], float]]:
    return form, struct.calcsize(form), lambda data: float(struct.unpack(form, data)[0])


_FORMATS = [_reader(order + kind) for order in "<>" for kind in "Iqd"]


def _near_now(value: float) -> bool:
    return any(abs(value / unit - time.time()) < DAY_S for unit in UNITS.values())


def _in_headers(message: Heard) -> list[str]:
    return [f"a header {name.decode()}" for name, _ in message.headers if name.lower() in HEADERS]


def _in_bytes(data: bytes, machine: Machine, secrets: Secrets) -> Iterator[str]:
    for match in ADDRESS.finditer(data):
        yield f"an address {match[0].decode()}"
    for match in COLONS.finditer(data):
        try:
            yield f"an address {ipaddress.IPv6Address(match[0].decode())}"
        except ValueError:
            continue
    for address in machine.addresses:
        if ipaddress.ip_address(address).packed in data:
            yield f"the packed address {address}"
    low = data.lower()
    for text in (*machine.texts, *secrets.texts, *PROGRAMS):
        # A short one is looked for as a word: three letters stand in any digest.
        if re.search(rb"(?<![0-9a-z])" + re.escape(text.lower().encode()), low):
            yield f"the text {text}"
    for pattern in DATES:
        for match in re.finditer(pattern, data):
            yield f"a date {match[0].decode()}"
    for match in re.finditer(rb"(?<![0-9A-Za-z])\d{10,19}(\.\d+)?", data):
        if _near_now(float(match[0])):
            yield f"a clock {match[0].decode()}"
    for number in secrets.numbers:
        if re.search(rb"(?<![0-9A-Za-z.])%s(?![0-9A-Za-z])" % re.escape(str(number).encode()), data):
            yield f"the number {number} in decimal"
        for form, packed in _packed(number):
            if packed in data:
                yield f"the number {number} as {form}"


def _packed(number: int | float) -> Iterator[tuple[str, bytes]]:
    """The number in binary, where that is long enough to be nothing else."""
    for order in "<>":
        if isinstance(number, float):
            yield f"{order}d", struct.pack(f"{order}d", number)
        elif number >= 2**31:
            size = max(8, math.ceil(number.bit_length() / 8))
            yield f"{order}{size} bytes", number.to_bytes(size, "little" if order == "<" else "big")


def _in_field(place: str, value: object, secrets: Secrets) -> list[str]:
    numbers = [value] if isinstance(value, int | float) else []
    if isinstance(value, np.ndarray):
        numbers = [float(number) for number in value if abs(number) > 1e6]
    found = [f"{place}: a clock {number}" for number in numbers if _near_now(number)]
    if isinstance(value, int | float):
        found += [f"{place}: the number {value}" for number in secrets.numbers if value == number]
    return found


def of_messages(messages: Iterable[Heard]) -> list[Field]:
    """All fields of all messages."""
    return [item for message in messages for item in message.fields()]


def is_onion(host: bytes) -> bool:
    return host.endswith(SUFFIX.encode())
