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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from heard import Heard

DAY_S = 86_400.0
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
FORMS_8 = tuple(order + kind for order in "<>" for kind in "qd")
FORMS = tuple(order + kind for order in "<>" for kind in "Iqd")
ALIKE = 3
"""Of so many different values, a number of four bytes that is near now in all is no chance."""
SURE = 5
"""Characters that are not found in random bytes by chance; shorter words are looked for in text."""

PROGRAMS = ("troth", "python", "httpx", "httpcore", "h11/", "uvicorn", "starlette", "openssl")
HEADERS = (b"date", b"server", b"user-agent", b"via", b"forwarded", b"x-forwarded-for", b"cookie",
           b"set-cookie", b"etag", b"last-modified", b"referer", b"origin", b"from", b"age",
           b"accept-language", b"authorization")  # fmt: skip

MONTH = rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
DATES = (
    rb"\d{4}-\d{2}-\d{2}",
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +\d{1,2}[ -]" + MONTH,
    MONTH + rb" +\d{1,2},? +(\d{2}:\d{2}:\d{2}|\d{4})",
    rb"\d{2}:\d{2}:\d{2}",
)
ADDRESS = re.compile(rb"(?<![0-9A-Za-z.])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z])")
COLONS = re.compile(
    rb"(?<![0-9A-Za-z:.])[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?![0-9A-Za-z])"
)


@dataclass(frozen=True)
class Secrets:
    """What nobody is to learn.

    Args:
      texts: names of parties and of files, of folders, of this machine and of its user.
      numbers: seeds, process ids, numbers of rows, budgets; large or odd enough to be known again.
    """

    texts: Sequence[str] = ()
    numbers: Sequence[float] = ()


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
        fields = message.fields()
        text = message.head + b" ".join(v.encode() for _, v in fields if isinstance(v, str))
        found += [
            f"a header {name.decode()}" for name, _ in message.headers if name.lower() in HEADERS
        ]
        found += _addresses(message.plain, text, machine)
        found += _words(message.plain, text, (*machine.texts, *secrets.texts, *PROGRAMS))
        found += _dates(message.plain)
        found += _numbers(message.plain, text, secrets.numbers)
        for place, value in fields:
            found += [f"{place}: {what}" for what in _in_field(value, secrets)]
            if isinstance(value, bytes):
                by_place[place].add(value)
    for place, values in by_place.items():
        found += [f"{place}: {what}" for what in clocks_in(sorted(values))]
    return found


def clocks_in(values: Sequence[bytes]) -> list[str]:
    """Binary clocks that stand at one place of all these values, which differ."""
    found = []
    sure = len(values) >= ALIKE
    units = UNITS if sure else {"s": 1.0, "ms": 1e3, "us": 1e6}
    for form in FORMS if sure else FORMS_8:
        size = struct.calcsize(form)
        for place in range(min(map(len, values)) - size + 1):
            read = [float(struct.unpack_from(form, value, place)[0]) for value in values]
            if all(_near_now(number, units) for number in read):
                found.append(f"a clock at byte {place}, {form}")
    return found


def _near_now(value: float, units: Mapping[str, float] = UNITS) -> bool:
    return any(abs(value / unit - time.time()) < DAY_S for unit in units.values())


def _addresses(data: bytes, text: bytes, machine: Machine) -> Iterator[str]:
    for match in ADDRESS.finditer(data):
        yield f"an address {match[0].decode()}"
    for match in COLONS.finditer(data):
        if len(match[0]) >= SURE or match[0] in text:
            with suppress(ValueError):
                yield f"an address {ipaddress.IPv6Address(match[0].decode())}"
    for address in machine.addresses:
        if ipaddress.ip_address(address).packed in data:
            yield f"the packed address {address}"


def _words(data: bytes, text: bytes, words: Iterable[str]) -> Iterator[str]:
    for word in words:
        where = data if len(word) >= SURE else text
        if re.search(rb"(?<![0-9a-z])" + re.escape(word.lower().encode()), where.lower()):
            yield f"the text {word}"


def _dates(data: bytes) -> Iterator[str]:
    for pattern in DATES:
        for match in re.finditer(pattern, data):
            yield f"a date {match[0].decode()}"
    for match in re.finditer(rb"(?<![0-9A-Za-z])\d{10,19}(\.\d+)?", data):
        if _near_now(float(match[0])):
            yield f"a clock {match[0].decode()}"


def _numbers(data: bytes, text: bytes, numbers: Iterable[float]) -> Iterator[str]:
    for number in numbers:
        decimal = str(number).encode()
        where = data if len(decimal) >= SURE else text
        if re.search(rb"(?<![0-9A-Za-z.])" + re.escape(decimal) + rb"(?![0-9A-Za-z])", where):
            yield f"the number {number} in decimal"
        if any(packed in data for packed in _packed(number)):
            yield f"the number {number} in binary"


def _packed(number: float) -> list[bytes]:
    """The number in binary, where that is long enough to be nothing else."""
    if isinstance(number, float):
        return [struct.pack(form, number) for form in ("<d", ">d")]
    if number < 2**31:
        return []
    size = max(8, math.ceil(number.bit_length() / 8))
    return [number.to_bytes(size, "little"), number.to_bytes(size, "big")]


def _in_field(value: object, secrets: Secrets) -> Iterator[str]:
    if isinstance(value, np.ndarray):
        yield from (f"a clock {number}" for number in value if _near_now(float(number)))
    elif isinstance(value, int | float):
        if _near_now(value):
            yield f"a clock {value}"
        if value in secrets.numbers:
            yield f"the number {value}"
