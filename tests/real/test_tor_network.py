"""Real onion services, in a private Tor network on this machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from troth.crypto.identity import Identity
from troth.errors import LocalError, UnreachableError, UsageError
from troth.worlds.real.tls import client_context, server_context
from troth.worlds.real.tor import process
from troth.worlds.real.tor.authorisation import ClientKey
from troth.worlds.real.tor.onion import OnionAddress
from troth.worlds.real.tor.process import Tor, private_folder, running_tor
from troth.worlds.real.tor.program import find_tor
from troth.worlds.real.tor.service import onion_service
from troth.worlds.real.tor.socks import Socks, client_options, running_socks, tor_client
from troth.worlds.real.tor.torrc import Option
from troth.worlds.real.tor.transport import TorTransport

pytestmark = pytest.mark.tor

BROKER, PROVIDER = Identity.create(), Identity.create()
CLIENT_TLS = client_context(PROVIDER, BROKER.public)
PATIENCE_S = 60.0


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TLS server that answers every request with what it was sent: its port, and all of that."""
    heard: list[bytes] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            while not reader.at_eof():
                request = await reader.readuntil(b"\r\n\r\n")
                heard.append(request)
                size = str(len(request)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: " + size + b"\r\n\r\n" + request)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    tls = server_context(BROKER, [PROVIDER.public])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def client(socks: Socks, tls: ssl.SSLContext = CLIENT_TLS) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=TorTransport(socks, tls), timeout=PATIENCE_S)


@asynccontextmanager
async def tor_with(folder: Path, options: list[Option], config: Path) -> AsyncIterator[Tor]:
    async with running_tor(await find_tor(), folder, options, config=config) as tor:
        yield tor


async def ask_once(socks: Socks, address: OnionAddress, word: str) -> str:
    async with client(socks) as http:
        return (await http.get(f"https://{address}/{word}")).text


async def says(socks: Socks, address: OnionAddress, word: str = "word") -> str:
    """What the service answers, asked until it does: what leads to it may just be changing."""
    while True:
        with suppress(httpx.TransportError):
            return await ask_once(socks, address, word)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(240):
            await test()

    asyncio.run(bounded())


def test_an_onion_service_answers_and_keeps_its_address(tor_network: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with echo() as (port, heard), tor_client(tmp_path / "c", config=tor_network) as socks:
            async with onion_service(tmp_path / "with space", port, config=tor_network) as first:
                assert "GET /one HTTP/1.1" in await says(socks, first, "one")
            async with onion_service(tmp_path / "with space", port, config=tor_network) as again:
                assert again == first
                assert "GET /two HTTP/1.1" in await says(socks, again, "two")
            async with onion_service(tmp_path / "other", port, config=tor_network) as other:
                assert other != first
            assert {request.split()[1] for request in heard} == {b"/one", b"/two"}
            for folder in ("c", "with space"):
                assert (tmp_path / folder).stat().st_mode & 0o077 == 0

    run(test)


def test_only_authorised_clients_can_connect(tor_network: Path, tmp_path: Path) -> None:
    async def test() -> None:
        key, wrong = ClientKey.create(), ClientKey.create()
        async with (
            echo() as (port, heard),
            onion_service(
                tmp_path / "b", port, clients=[key.public], config=tor_network
            ) as address,
        ):
            for name, given in (("none", None), ("wrong", (address, wrong))):
                async with tor_client(
                    tmp_path / name, authorised=given, config=tor_network
                ) as socks:
                    with pytest.raises(httpx.ProxyError, match="no way through Tor"):
                        await ask_once(socks, address, "word")
            assert not heard
            async with tor_client(
                tmp_path / "right", authorised=(address, key), config=tor_network
            ) as socks:
                assert "GET /word" in await says(socks, address)

    run(test)


def test_identities_share_no_circuit(tor_network: Path, tmp_path: Path) -> None:
    """Two providers at one tor: the connections of each go over its own circuit to the broker."""

    async def circuits(tor: Tor) -> list[str]:
        """Of the streams that are open now."""
        (_, *streams, _) = await tor.control.ask("GETINFO stream-status")
        # ID, status, circuit, target
        return [fields[2] for fields in map(str.split, streams) if fields[1] == "SUCCEEDED"]

    async def test() -> None:
        options = client_options(private_folder(tmp_path / "keys"))
        async with (
            echo() as (port, _),
            onion_service(tmp_path / "b", port, config=tor_network) as address,
            tor_with(tmp_path / "c", options, tor_network) as tor,
        ):
            (listeners, *_) = await tor.control.ask("GETINFO net/listeners/socks")
            socks = Socks("127.0.0.1", int(re.findall(r":(\d+)", listeners)[0]))
            async with client(socks) as one, client(socks) as two:
                url = f"https://{address}/"
                # Two connections of one identity, both open, and one of another.
                await asyncio.gather(one.get(url), one.get(url))
                ours = await circuits(tor)
                await two.get(url)
                theirs = await circuits(tor)
            assert len(ours) == 2
            assert len(set(ours)) == 1
            assert len(theirs) == 3
            assert len(set(theirs)) == 2

    run(test)


def test_our_tor_goes_to_onion_addresses_only(tor_network: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with tor_client(tmp_path / "c", config=tor_network) as socks, client(socks) as http:
            for host in ("example.com", "127.0.0.1"):
                with pytest.raises(httpx.ProxyError, match="not allowed"):
                    await http.get(f"https://{host}/")

    run(test)


def test_a_tor_that_runs_already_is_known(tor_network: Path, tmp_path: Path) -> None:
    async def test() -> None:
        options = [("SocksPort", "127.0.0.1:auto")]
        async with (
            echo() as (port, _),
            onion_service(tmp_path / "b", port, config=tor_network) as address,
            tor_with(tmp_path / "system", options, tor_network) as tor,
        ):
            (listeners, *_) = await tor.control.ask("GETINFO net/listeners/socks")
            socks = await running_socks("127.0.0.1", int(re.findall(r":(\d+)", listeners)[0]))
            assert "GET /word" in await says(socks, address)

    run(test)


def test_a_tor_that_is_killed_is_told(tor_network: Path, tmp_path: Path) -> None:
    async def wait(folder: Path, started: asyncio.Future[int]) -> None:
        options = client_options(private_folder(tmp_path / "keys"))
        async with tor_with(folder, options, tor_network) as tor:
            started.set_result(tor.pid)
            await asyncio.Event().wait()

    async def test() -> None:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(wait(tmp_path / "c", started))
        os.kill(await started, signal.SIGKILL)
        with pytest.raises(UnreachableError, match="tor has ended with signal 9"):
            await waiting
        assert not waiting.cancelled()

    run(test)


def test_tor_ends_with_its_block(tor_network: Path, tmp_path: Path) -> None:
    """When the block fails, and when it is cancelled from outside."""

    async def fail(started: asyncio.Future[int], error: Exception | None) -> None:
        async with tor_with(tmp_path / "c", [("SocksPort", "0")], tor_network) as tor:
            started.set_result(tor.pid)
            if error is not None:
                raise error
            await asyncio.Event().wait()

    async def test() -> None:
        loop = asyncio.get_running_loop()
        for error in (TimeoutError("the block's own"), None):
            started = loop.create_future()
            waiting = asyncio.create_task(fail(started, error))
            pid = await started
            if error is None:
                waiting.cancel()
            with pytest.raises(asyncio.CancelledError if error is None else TimeoutError):
                await waiting
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    run(test)


# ---------------------------------------------------------------- without a network


async def start(folder: Path, config: str) -> None:
    file = folder.with_name("given")
    file.write_text(config)
    async with tor_with(folder, [("SocksPort", "0")], file):
        pytest.fail("it started")


@pytest.mark.parametrize(
    ("config", "error", "problem"),
    [
        ("Bridge nonsense\n", UsageError, "tor did not start.*Bridge"),
        ("SocksPort 9050\n", UsageError, "given:1: 'SocksPort' is not an option"),
    ],
)
def test_a_config_that_tor_refuses_is_told(
    tor_installed: None, tmp_path: Path, config: str, error: type[LocalError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        run(lambda: start(tmp_path / "tor", config))


def test_two_tors_do_not_share_a_folder(tor_network: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with tor_client(tmp_path / "c", config=tor_network):
            with pytest.raises(UsageError, match=r"tor did not start.*another Tor process"):
                await start(tmp_path / "c", "")

    run(test)


def test_a_network_that_is_not_there_is_unreachable(
    tor_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_S", 1.0)
    authority = f"DirAuthority none orport=9 v3ident={'A' * 40} 127.0.0.1:9 {'B' * 40}\n"
    with pytest.raises(UnreachableError, match="could not get into its network") as raised:
        run(lambda: start(tmp_path / "tor", f"TestingTorNetwork 1\n{authority}"))
    assert "--tor-config" in str(raised.value)
