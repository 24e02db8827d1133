"""What the test of anonymity looks for is found when it is there, and nothing else is."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random

import msgspec
import numpy as np
import pytest
from client_hello import PRE_SHARED_KEY, parse_client_hello
from heard import JSON, Heard, heard, said
from identifying import Machine, Secrets, identifying

from troth.crypto.puzzles import Puzzle
from troth.protocols.tormentor.messages import Curated, GradientUpdate, Joined

MACHINE = Machine(addresses=("127.0.0.1", "10.99.3.7", "fd00::17"), texts=("ann-laptop", "ann"))
SECRETS = Secrets(
    texts=("party-1", "ward-7.csv", "/home/ann"), numbers=(8046029254386353, 106, 4211, 8.125)
)
MODEL_ID = f"sha256:{'0123456789abcdef' * 4}"
BYTES = Random(5).randbytes

Update = dict[str, object]


def updates(**fields: object) -> list[Heard]:
    """Three updates with puzzles, random where the real ones are; every value may be a function of
    the number of the update."""

    def one(number: int) -> Heard:
        own = {
            "token": BYTES(32),
            "nonce": BYTES(32),
            "solution": BYTES(8),
            "version": number,
            "update_D": np.linspace(-1, 1, 30, dtype=np.float32),
        }
        given = {name: v(number) if callable(v) else v for name, v in fields.items()}
        return said(GradientUpdate(MODEL_ID, **(own | given)))

    return [one(number) for number in range(3)]


def other(**fields: object) -> list[Heard]:
    """What the broker says."""
    puzzle = Puzzle(MODEL_ID, BYTES(32), 3, BYTES(32), 3, BYTES(32))
    address = fields.pop("address", f"https://{'ab' * 32}@{'y' * 56}.onion:443/{MODEL_ID}")
    joined = Joined(BYTES(32), BYTES(32), 4, np.ones(30, np.float32), puzzle)
    return [said(Curated(MODEL_ID, address)), said(msgspec.structs.replace(joined, **fields))]


def with_header(name: bytes, value: bytes) -> list[Heard]:
    (first, *others) = updates()
    return [replace(first, headers=(*first.headers, (name, value))), *others]


def with_json(text: str) -> list[Heard]:
    return [Heard(b"HTTP/1.1 404", ((b"content-type", JSON),), msgspec.json.encode({"e": text}))]


def clock(form: str, unit: float = 1.0) -> Callable[[int], bytes]:
    """A nonce with a clock in it."""

    def nonce(_: int) -> bytes:
        number = time.time() * unit
        data = struct.pack(form, number if form[1] == "d" else int(number))
        return BYTES(11) + data + BYTES(21 - len(data))

    return nonce


def test_nothing_is_found_where_nothing_is() -> None:
    for _ in range(50):
        assert not identifying([*updates(), *other()], MACHINE, SECRETS)


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        (lambda: with_header(b"User-Agent", b"x"), "a header User-Agent"),
        (lambda: with_header(b"date", b"x"), "a header date"),
        (lambda: with_header(b"Server", b"x"), "a header Server"),
        (lambda: with_header(b"x-a", b"python-httpx/0.28"), "the text python"),
        (lambda: with_header(b"x-a", b"uvicorn"), "the text uvicorn"),
        (lambda: with_header(b"host", b"192.0.2.7:443"), "an address 192.0.2.7"),
        (lambda: with_header(b"host", b"[::1]:443"), "an address ::1"),
        (lambda: with_header(b"x-a", b"ann"), "the text ann"),
        (lambda: other(address="https://10.99.3.7:8443"), "an address 10.99.3.7"),
        (lambda: other(address="https://[fd00::17]:8443"), "an address fd00::17"),
        (lambda: other(address="https://ann-laptop:8443"), "the text ann-laptop"),
        (lambda: updates(solution=b"\1\2" + bytes([10, 99, 3, 7])), "the packed address 10.99.3.7"),
        (lambda: updates(solution=b"\0\x7f\0\0\1\0\0\0"), "the packed address 127.0.0.1"),
        (lambda: with_json("no rows in ward-7.csv"), "the text ward-7.csv"),
        (lambda: with_json("/home/ann/rows is not there"), "the text /home/ann"),
        (lambda: with_json("Party-1 is slow"), "the text party-1"),
        (lambda: with_json("at 2026-03-01"), "a date 2026-03-01"),
        (lambda: with_json("Tue, 03 Mar 2026"), "a date Tue, 03 Mar"),
        (lambda: with_json("Mar  3 2026"), "a date Mar  3 2026"),
        (lambda: with_json("it is 13:37:01"), "a date 13:37:01"),
        (lambda: with_json(f"t={time.time():.3f}"), "a clock 1"),
        (lambda: with_json(f"t={time.time_ns()}"), "a clock 1"),
        (lambda: updates(version=lambda _: int(time.time())), "GradientUpdate.version: a clock"),
        (lambda: updates(version=lambda _: time.time_ns()), "GradientUpdate.version: a clock"),
        (lambda: updates(epsilon=lambda _: time.time()), "GradientUpdate.epsilon: a clock"),
        (
            lambda: updates(update_D=np.array([0, time.time()], np.float32)),
            "GradientUpdate.update_D: a clock",
        ),
        *(
            (lambda form=form: updates(nonce=clock(form)), f"nonce: a clock at byte 11, {form}")
            for form in ("<I", ">I", "<q", ">q", "<d", ">d")
        ),
        (lambda: updates(nonce=clock(">q", 1e9)), "nonce: a clock at byte 11, >q"),
        (lambda: other(token=clock(">q", 1e3)(0)), "Joined.token: a clock at byte 11, >q"),
        (lambda: updates(epsilon=8.125), "GradientUpdate.epsilon: the number 8.125"),
        (lambda: updates(version=106), "GradientUpdate.version: the number 106"),
        (lambda: updates(version=8046029254386353), "the number 8046029254386353"),
        (
            lambda: updates(nonce=lambda _: (8046029254386353).to_bytes(32, "little")),
            "the number 8046029254386353 in binary",
        ),
        (
            lambda: updates(nonce=lambda _: BYTES(24) + struct.pack("<d", 8.125)),
            "the number 8.125 in binary",
        ),
        (lambda: with_json("pid 4211"), "the number 4211 in decimal"),
        (lambda: with_json("106 rows"), "the number 106 in decimal"),
    ],
)  # fmt: skip
def test_what_identifies_is_found(messages: Callable[[], list[Heard]], found: str) -> None:
    said_so = identifying(messages(), MACHINE, SECRETS)
    assert any(found in what for what in said_so), said_so


def test_messages_are_heard_as_they_were_sent() -> None:
    data = b"POST /a HTTP/1.1\r\nHost: x.onion\r\nContent-Length: 2\r\n\r\nokGET / HTTP/1.1\r\n\r\n"
    first, second = heard(data)
    assert first.headers == ((b"Host", b"x.onion"), (b"Content-Length", b"2"))
    assert (first.body, second.first, second.body) == (b"ok", b"GET / HTTP/1.1", b"")


def test_a_client_hello_is_read() -> None:
    extensions = b"\0\x33\0\x08\0\x06\0\x1d\0\x02ab" + b"\0\x29\0\x01z"
    inner = b"\3\3" + b"r" * 32 + b"\x01s" + b"\0\x02\x13\x01" + b"\x01\0"
    inner += len(extensions).to_bytes(2) + extensions
    body = b"\x01" + len(inner).to_bytes(3) + inner
    hello = parse_client_hello(b"\x16\3\1" + len(body).to_bytes(2) + body + b"more")
    assert hello.kinds == [51, PRE_SHARED_KEY]
    assert (hello.random, hello.session_id, hello.ciphers) == (b"r" * 32, b"s", b"\x13\x01")
    assert hello.fingerprint()[-1] == ((29, 2),)
