"""What a listening node does for its own speed changes nothing that others see."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from brokers import MODEL_ID, make_host
from uvicorn.protocols import utils
from uvicorn.protocols.http import flow_control, h11_impl

from troth.compute import Compute
from troth.protocols.tormentor.messages import QUESTIONS
from troth.roles.node import Node
from troth.wire import Float32s
from troth.worlds.real import host as host_module
from troth.worlds.real.api import paths
from troth.worlds.real.collector import nothing_old_collected
from troth.worlds.real.limits import Limits
from troth.worlds.real.serving import JOINED_BYTES, JoinedWrites


class Wire(asyncio.Transport):
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("closed")

    def abort(self) -> None:
        self.done.append("aborted")


def test_what_is_written_in_one_step_goes_out_together() -> None:
    async def test() -> None:
        wire = Wire()
        joined = JoinedWrites(wire)
        joined.write(b"head ")
        joined.write(memoryview(b"body"))
        joined.write(b"")
        assert wire.done == []
        await asyncio.sleep(0)
        assert wire.done == [b"head body"]
        joined.write(b"next")
        await asyncio.sleep(0)
        assert wire.done == [b"head body", b"next"]

    asyncio.run(test())


def test_much_does_not_wait_for_the_end_of_the_step() -> None:
    async def test() -> None:
        wire = Wire()
        joined = JoinedWrites(wire)
        joined.write(b"head")
        joined.write(bytes(JOINED_BYTES))
        assert wire.done == [b"head" + bytes(JOINED_BYTES)]

    asyncio.run(test())


def test_what_was_written_leaves_before_the_end_and_not_after_an_abort() -> None:
    async def test() -> None:
        closed, aborted = Wire(), Wire()
        for wire in (closed, aborted):
            joined = JoinedWrites(wire)
            joined.write(b"last words")
            (joined.close if wire is closed else joined.abort)()
        await asyncio.sleep(0)
        assert closed.done == [b"last words", "closed"]
        assert aborted.done == ["aborted"]

    asyncio.run(test())


def test_uvicorn_does_with_its_transport_what_ours_can_do() -> None:
    """One that it calls and that is not passed on would raise `NotImplementedError` much later."""
    source = "".join(inspect.getsource(module) for module in (h11_impl, flow_control, utils))
    called = {name for name in dir(asyncio.Transport) if f"transport.{name}(" in source}
    assert {"write", "close"} <= called
    # Websockets are switched off, and only they change the protocol.
    assert called - vars(JoinedWrites).keys() == {"set_protocol"}


class Thread(msgspec.Struct, frozen=True):
    """Where a computation ran."""

    number: int


@dataclass(frozen=True)
class Where(Compute[object, Thread]):
    """Says in which thread it is computed."""

    label: ClassVar[str] = "where"

    def run(self, bench: object) -> Thread:
        return Thread(threading.get_ident())


@dataclass(frozen=True)
class SteadyWhere(Where):
    """The same, as what takes equally long each time."""

    label: ClassVar[str] = "steady_where"
    steady: ClassVar[bool] = True


@pytest.mark.parametrize(("request_", "at_once"), [(Where(), False), (SteadyWhere(), True)])
def test_only_what_was_quick_and_stays_so_is_computed_between_two_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: Where, at_once: bool
) -> None:
    # However busy this machine is.
    monkeypatch.setattr(host_module, "AT_ONCE_S", 3600.0)
    found: list[int] = []

    async def role(node: Node) -> Float32s:
        found.extend([(await node.compute(request_)).number for _ in range(2)])
        return np.zeros(1, np.float32)

    host = make_host(tmp_path, role, Limits())
    asyncio.run(host.run())
    host._journal.close()
    own = threading.get_ident()
    assert [number == own for number in found] == [False, at_once]


def test_the_collector_looks_at_everything_again_afterwards() -> None:
    with nothing_old_collected():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_a_question_s_path_says_what_was_asked() -> None:
    assert QUESTIONS
    for kind in QUESTIONS:
        path = f"{paths.MODEL.format(model_id=MODEL_ID)}/{paths.action(kind)}"
        assert paths.split(path) == (MODEL_ID, paths.action(kind))
    for other in ("", "/", paths.OPENAPI, "/v1/models/x", "/v1/models//join", "/v2/models/x/join"):
        assert paths.split(other) is None
    assert paths.split("/v1/models/x/join/") is None
