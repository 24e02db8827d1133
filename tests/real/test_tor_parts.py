"""What Tor is told and asked: addresses, keys, files, the control connection, SOCKS. No network."""

from __future__ import annotations

import asyncio
import pickle
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from troth.crypto.identity import Identity
from troth.errors import LocalError, UnreachableError, UsageError
from troth.wire import encode_array
from troth.worlds.real.tls import client_context
from troth.worlds.real.tor import process, program, service
from troth.worlds.real.tor import socks as socks_module
from troth.worlds.real.tor.authorisation import (
    ClientKey,
    parse_client_public_key,
    write_authorised_clients,
)
from troth.worlds.real.tor.control import Control, ControlClosed, ControlRefused
from troth.worlds.real.tor.onion import OnionAddress, check_transport, parse_onion_address
from troth.worlds.real.tor.program import TorProgram, find_tor
from troth.worlds.real.tor.socks import Socks, running_socks
from troth.worlds.real.tor.torrc import MAX_CONFIG_BYTES, quoted, read_config, torrc
from troth.worlds.real.tor.transport import TorTransport

# torproject.org, and DuckDuckGo's.
ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"
OTHER = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"

# RFC 7748, section 6.1: Alice's key pair.
SECRET = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("address", [ONION, OTHER])
def test_onion_addresses_are_known_by_their_checksum(address: str) -> None:
    assert parse_onion_address(address) == address
    for i, was in enumerate(address.removesuffix(".onion")):
        changed = "b" if was == "a" else "a"
        assert parse_onion_address(address[:i] + changed + address[i + 1 :]) is None


@pytest.mark.parametrize(
    "host",
    ["", ".onion", "a.onion", ONION[:56], f"w.{ONION}", ONION.upper(), f"{ONION}.", "a.com", "::1"],
)
def test_what_is_no_onion_address_is_none(host: str) -> None:
    assert parse_onion_address(host) is None


def test_nothing_goes_another_way_than_was_asked_for() -> None:
    assert check_transport(f"https://{ONION}", tor=True) == ONION
    assert check_transport(f"https://{ONION}:443/", tor=True) == ONION
    assert check_transport("https://host:8443", tor=False) is None


@pytest.mark.parametrize(
    ("url", "tor", "problem"),
    [
        (f"https://{ONION}", False, "only Tor reaches"),
        (f"https://www.{ONION.upper()}:443", False, "only Tor reaches"),
        (f"http://{ONION}", True, "not of the form https"),
        ("https://host:8443", True, "with Tor, only onion addresses"),
        ("https://127.0.0.1", True, "with Tor, only onion addresses"),
        (f"https://{ONION}.example.com", True, "with Tor, only onion addresses"),
        (f"https://x{ONION[1:]}", True, "checksum or length is wrong"),
    ],
)
def test_a_url_that_does_not_fit_is_refused(url: str, tor: bool, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        check_transport(url, tor=tor)


# ---------------------------------------------------------------- client authorisation


def test_a_client_key_survives_its_file_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "client.pem"
    made = ClientKey.create()
    made.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ClientKey.load(path).public == made.public
    assert parse_client_public_key(made.public.lower()) == made.public
    with pytest.raises(UsageError, match="exists already"):
        ClientKey.create().save(path)
    path.chmod(0o604)
    with pytest.raises(UsageError, match="its mode is 0604"):
        ClientKey.load(path)


def test_an_identity_is_no_client_key(tmp_path: Path) -> None:
    Identity.create().save(tmp_path / "identity.pem")
    with pytest.raises(UsageError, match="is not an x25519 secret key"):
        ClientKey.load(tmp_path / "identity.pem")


def test_a_client_key_is_not_printed_and_not_sent() -> None:
    key = ClientKey(X25519PrivateKey.from_private_bytes(SECRET))
    assert "<redacted>" in repr(key)
    with pytest.raises(LocalError, match="no wire encoder"):
        encode_array(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_keys_are_written_as_tor_reads_them(tmp_path: Path) -> None:
    key = ClientKey(X25519PrivateKey.from_private_bytes(SECRET))
    # The RFC's hexadecimal digits, by: xxd -r -p | base32
    assert key.public == "QUQPACMJGCTVI5ELPXOLIPXXLIG36OQNEY4BV5HLUSUY5KU3JZVA"
    key.write_for_tor(tmp_path / "client", OnionAddress(OTHER))
    key.write_for_tor(tmp_path / "client", OnionAddress(ONION))
    (file,) = (tmp_path / "client").iterdir()
    label = ONION.removesuffix(".onion")
    assert file.name == f"{label}.auth_private"
    secret = "O4DW2CTTDCSX2PAWYFZFDMTGIXPUYL4H5PAJSKVRO752KHNZFQVA"
    assert file.read_text() == f"{label}:descriptor:x25519:{secret}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    other = ClientKey.create().public
    write_authorised_clients(tmp_path / "service", (other, key.public))
    write_authorised_clients(tmp_path / "service", (key.public,))
    (file,) = (tmp_path / "service").iterdir()
    assert file.suffix == ".auth"
    assert file.read_text() == f"descriptor:x25519:{key.public}\n"
    assert stat.S_IMODE((tmp_path / "service").stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "A" * 51, "A" * 53, "1" * 52, "A" * 51 + "B", "é" * 52])
def test_what_is_no_client_public_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a client's public key"):
        parse_client_public_key(text)


def test_more_clients_than_a_descriptor_holds_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        clients = [ClientKey.create().public] * (service.MAX_CLIENTS + 1)
        async with service.onion_service(tmp_path / "tor", 1, clients=clients):
            pytest.fail("it started")

    with pytest.raises(UsageError, match="301 authorised clients are more than 300"):
        asyncio.run(run())
    assert not (tmp_path / "tor").exists()


# ---------------------------------------------------------------- tor's configuration


def test_a_users_lines_come_before_ours(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# bridges\n\n  UseBridges 1\nbridge obfs4 192.0.2.1:443 cert=x iat-mode=0\n")
    text = torrc([("SocksPort", "0")], read_config(path))
    assert text == ("UseBridges 1\nbridge obfs4 192.0.2.1:443 cert=x iat-mode=0\nSocksPort 0\n")


def test_a_path_is_quoted() -> None:
    assert quoted('a b"c\\d') == '"a b\\"c\\\\d"'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("SocksPort 9050", "'SocksPort' is not an option"),
        ("socksport 9050", "'socksport' is not an option"),
        ("SocksPor 9050", "'SocksPor' is not an option"),
        ("+SocksPort 9050", "is not an option"),
        ("HiddenServiceDir /tmp/x", "is not an option"),
        ("HiddenServiceNonAnonymousMode 1", "is not an option"),
        ("DataDirectory /tmp/x", "is not an option"),
        ("ControlPort 9051", "is not an option"),
        ("SafeLogging 0", "is not an option"),
        ("%include /etc/tor/torrc", "is not an option"),
        ("UseBridges 1\\", "goes on in the next line"),
        ("UseBridges 1\x0b", "holds control characters"),
    ],
)
def test_a_config_file_sets_only_what_is_allowed(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "config"
    path.write_text(f"UseBridges 0\n{line}0\n" if line.endswith("\x0b") else f"\n{line}\n")
    with pytest.raises(UsageError, match=problem) as raised:
        read_config(path)
    assert raised.value.message.startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xff", "is not text"), (b"#" * (MAX_CONFIG_BYTES + 1), "is longer than"), (None, "cannot")],
)
def test_a_config_file_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        read_config(path)


# ---------------------------------------------------------------- tor's program


def fake_tor(folder: Path, says: str) -> None:
    path = folder / "tor"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


@pytest.fixture
def only_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder where programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "FURTHER_PLACES", ())
    return tmp_path


def test_without_tor_nothing_starts(only_in: Path) -> None:
    async def publish() -> None:
        async with service.onion_service(only_in / "a", 1):
            pytest.fail("it started")

    async def connect() -> None:
        async with socks_module.tor_client(only_in / "b"):
            pytest.fail("it started")

    for attempt in (publish, connect):
        with pytest.raises(UsageError, match="no program tor") as raised:
            asyncio.run(attempt())
        assert "apt-get install tor" in str(raised.value)
    assert list(only_in.iterdir()) == []


@pytest.mark.parametrize(
    ("says", "problem"),
    [("Tor version 0.4.6.12.", "is version 0.4.6.12, older than 0.4.7"), ("tor!", "does not say")],
)
def test_a_tor_that_is_too_old_is_refused(only_in: Path, says: str, problem: str) -> None:
    fake_tor(only_in, says)
    with pytest.raises(UsageError, match=problem):
        asyncio.run(find_tor())


def test_the_version_and_modules_of_tor_are_read(only_in: Path) -> None:
    fake_tor(only_in, "Tor version 0.4.10.1-alpha.\npow: yes")
    assert asyncio.run(find_tor()) == TorProgram(str(only_in / "tor"), (0, 4, 10, 1), True)
    fake_tor(only_in, "Tor version 0.4.7.16.\npow: no")
    found = asyncio.run(find_tor())
    assert not found.proof_of_work
    names = [name for name, _ in service.service_options(found, Path("onion"), 1)]
    assert "HiddenServiceDir" in names
    assert "HiddenServicePoWDefensesEnabled" not in names


def test_a_tor_that_hangs_is_given_up(only_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing on the control connection, and does not end by itself."""
    monkeypatch.setattr(process, "START_S", 0.3)
    monkeypatch.setattr(process, "STOP_S", 0.1)
    path = only_in / "tor"
    path.write_text(
        "#!/bin/sh\necho 'Nov 21 00:00:00.000 [warn] The clock is wrong.'\nexec /bin/sleep 600\n"
    )
    path.chmod(0o755)
    hangs = TorProgram(str(path), (0, 4, 9), True)

    async def run() -> None:
        async with process.running_tor(hangs, only_in / "folder", []):
            pytest.fail("it started")

    with pytest.raises(UnreachableError, match="could not get into its network within 0 s: The"):
        asyncio.run(run())


# ---------------------------------------------------------------- the control connection


@asynccontextmanager
async def control_with(said: bytes) -> AsyncIterator[tuple[Control, socket.socket]]:
    """A connection on which tor has said something already."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(said)
        control = Control(*await asyncio.open_unix_connection(sock=ours))
        try:
            yield control, theirs
        finally:
            await control.close()


def test_answers_and_events_are_told_apart() -> None:
    async def run() -> None:
        said = (
            b"650 HS_DESC UPLOAD one\r\n"
            b"250+circuit-status=\r\n1 BUILT\r\n..dot\r\n.\r\n250 OK\r\n"
            b"650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=5\r\n"
            b"650 HS_DESC UPLOADED two\r\n"
            b"510 Unrecognized command\r\n"
        )
        async with control_with(said) as (control, theirs):
            answer = await control.ask("GETINFO circuit-status")
            assert answer == ["circuit-status=", "1 BUILT", ".dot", "OK"]
            assert await control.event("HS_DESC") == "HS_DESC UPLOAD one"
            assert await control.event("HS_DESC") == "HS_DESC UPLOADED two"
            assert "PROGRESS=5" in await control.event("STATUS_CLIENT")
            with pytest.raises(ControlRefused, match="NO: Unrecognized command"):
                await control.ask("NO SUCH THING")
            assert theirs.recv(100) == b"GETINFO circuit-status\r\nNO SUCH THING\r\n"

    asyncio.run(run())


def test_a_closed_connection_is_noticed() -> None:
    async def run() -> None:
        async with control_with(b"250-vers") as (control, theirs):
            theirs.close()
            with pytest.raises(ControlClosed):
                await control.ask("GETINFO version")
            with pytest.raises(ControlClosed):
                await control.event("HS_DESC")

    asyncio.run(run())


# ---------------------------------------------------------------- SOCKS


@asynccontextmanager
async def socks_server(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Gives one answer to whatever comes, each time, and then hangs up; keeps what came."""
    heard: list[bytes] = []
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        for answer in answers:
            heard.append(await reader.read(1024))
            writer.write(answer)
            await writer.drain()
        heard.append(await reader.read(1024))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*filter(None, served))


TAKES_PASSWORD = (b"\x05\x02", b"\x01\x00")
UNKNOWN_COMMAND = b"\x05\x07\x00\x01" + bytes(6)
RESOLVED_ELSEWHERE = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ((b"\x05\xff",), "takes no user name and password"),
        ((b"\x05\x00",), "takes no user name and password"),
        ((b"\x05\x02", b"\x01\x01"), "does not accept a user name and password"),
        ((*TAKES_PASSWORD, UNKNOWN_COMMAND), "unknown command"),
        ((*TAKES_PASSWORD, b"\x04" + bytes(9)), "does not speak SOCKS"),
        ((*TAKES_PASSWORD, RESOLVED_ELSEWHERE), "resolves wrongly"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "takes no user name and password"),
        ((), "hung up"),
        (TAKES_PASSWORD, "hung up"),
    ],
)
def test_a_proxy_that_is_not_tor_is_refused(answers: tuple[bytes, ...], problem: str) -> None:
    async def run() -> list[bytes]:
        async with socks_server(*answers) as (port, heard):
            with pytest.raises(UsageError, match=problem):
                await running_socks("127.0.0.1", port)
            return heard

    assert not any(b"onion" in said for said in asyncio.run(run()))


def test_nobody_at_a_socks_port_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socks_module, "ANSWER_S", 0.2)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(UnreachableError, match="it does not answer"):
                await running_socks("127.0.0.1", port)
        with pytest.raises(UnreachableError, match="no Tor at"):
            await running_socks("127.0.0.1", port)

    asyncio.run(run())


def test_a_way_through_tor_that_takes_too_long_is_given_up() -> None:
    """Where tor accepts a connection and then says nothing more."""
    tls = client_context(Identity.create(), Identity.create().public)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            transport = TorTransport(Socks(*silent.getsockname()), tls)
            async with httpx.AsyncClient(transport=transport, timeout=0.2) as client:
                with pytest.raises(httpx.ConnectTimeout, match="no way through Tor"):
                    await client.get(f"https://{ONION}/")

    asyncio.run(run())


def test_after_a_failure_other_circuits_are_taken() -> None:
    """A tor that waits for a service which died would let all that come after wait with it."""
    tls = client_context(Identity.create(), Identity.create().public)

    async def run() -> list[bytes]:
        async with socks_server(*TAKES_PASSWORD) as (port, heard):
            transport = TorTransport(Socks("127.0.0.1", port), tls)
            async with httpx.AsyncClient(transport=transport) as client:
                for _ in range(2):
                    with pytest.raises(httpx.ProxyError):
                        await client.get(f"https://{ONION}/")
            return heard

    _, first, _, _, second, _ = asyncio.run(run())
    assert len(first) == len(second)
    assert first != second


def test_names_are_resolved_by_the_proxy_and_never_here(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    real = socket.getaddrinfo

    def recorded(host: str, *arguments: object, **options: object) -> object:
        looked_up.append(host)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    # Neither is to be looked at.
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    tls = client_context(Identity.create(), Identity.create().public)

    async def run() -> list[bytes]:
        async with socks_server(*TAKES_PASSWORD) as (port, heard):
            for _ in range(2):
                transport = TorTransport(Socks("127.0.0.1", port), tls)
                async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                    with pytest.raises(httpx.ProxyError, match="onion: it hung up"):
                        await client.get(f"https://{ONION}/")
            return heard

    greeting, credentials, connect, _, others, _ = asyncio.run(run())
    assert greeting == b"\x05\x01\x02"
    # RFC 1928: version, connect, reserved, a domain name of so many bytes, port 443.
    assert connect == b"\x05\x01\x00\x03" + bytes([len(ONION)]) + ONION.encode() + b"\x01\xbb"
    assert credentials != others
    assert set(looked_up) <= {"127.0.0.1"}
