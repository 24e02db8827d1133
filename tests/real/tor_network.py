"""A Tor network of our own on this machine: three directory authorities and four relays.

All of it listens on 127.0.0.1 and knows of nothing else. Votes are every ten seconds, so that an
onion service is reachable half a minute after the start. Tests that use it, or only Tor's program,
are marked `tor`. All workers of pytest-xdist share one network.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from troth.worlds.real.tor.program import FURTHER_PLACES

REQUIRED = "TROTH_REQUIRE_TOR"
"""Where this is set, as in `.ci/run`, a missing tor is a failure; elsewhere it is a skip."""

AUTHORITIES = 3
RELAYS = 4
CONSENSUS_S = 60.0
"""How long the network may take to agree on itself."""

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), *FURTHER_PLACES))

PORTS = range(20_000, 30_000)
"""Below those that the kernel gives to outgoing connections, so that none is taken meanwhile."""

# What authorities, relays and clients of this network have in common. The share of paths is low
# because no relay is an exit.
COMMON = """TestingTorNetwork 1
PathsNeededToBuildCircuits 0.25
"""

# Vanguards choose from more relays than there are here.
CLIENT = """VanguardsLiteEnabled 0
"""

SERVER = """Address 127.0.0.1
AssumeReachable 1
SocksPort 0
ExitRelay 0
ShutdownWaitLength 0
Log notice stdout
"""

AUTHORITY = """AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@invalid
TestingV3AuthInitialVotingInterval 10
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinFastFlagThreshold 0
MinUptimeHidServDirectoryV2 0
"""


@pytest.fixture(scope="session")
def tor_installed() -> None:
    """Debian's package `tor` is there."""
    missing = [name for name in ("tor", "tor-gencert") if shutil.which(name, path=PATH) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found; install Debian's package tor to run this"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason} ({REQUIRED} is set)")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def tor_network(
    tor_installed: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A file for `config=` that makes a tor part of the private network."""
    base = tmp_path_factory.getbasetemp()
    # A worker's folder lies in that of the whole run.
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with _one_network(shared, tmp_path_factory.mktemp("tor-network")) as config:
        yield config


@contextmanager
def _one_network(shared: Path, own: Path) -> Iterator[Path]:
    """The network that another process runs, or one in `own`, which stays until all are done."""
    config = shared / "tor-config"
    with (
        (shared / "tor-starting").open("w") as starting,
        (shared / "tor-users").open("w") as users,
        ExitStack() as stack,
    ):
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        ours = not config.exists()
        if ours:
            config.write_text(stack.enter_context(private_tor_network(own)))
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield config
        if ours:
            # Once this is granted nobody else uses it, and whoever comes finds no file.
            fcntl.flock(users, fcntl.LOCK_EX)
            config.unlink()


@contextmanager
def private_tor_network(folder: Path) -> Iterator[str]:
    """Runs the network; gives the lines that a client's torrc needs to be in it."""
    ports = _free_ports(2 * (AUTHORITIES + RELAYS))
    names = [f"authority{i}" for i in range(AUTHORITIES)] + [f"relay{i}" for i in range(RELAYS)]
    listen = {name: (ports[2 * i], ports[2 * i + 1]) for i, name in enumerate(names)}
    authorities, relays = names[:AUTHORITIES], names[AUTHORITIES:]
    for name in names:
        (folder / name).mkdir(mode=0o700)
        (folder / name / "nothing").touch()
    known = COMMON + "".join(_authority(folder / name, *listen[name]) for name in authorities)
    processes = {}
    with ExitStack() as stack:
        for name in names:
            text = known + SERVER + f"Nickname {name}\nDataDirectory {folder / name}\n"
            text += "ORPort 127.0.0.1:{}\nDirPort 127.0.0.1:{}\n".format(*listen[name])
            # Whoever is killed leaves none behind.
            text += f"__OwningControllerProcess {os.getpid()}\n"
            (folder / name / "torrc").write_text(text + (AUTHORITY if name in authorities else ""))
            processes[name] = stack.enter_context(_running(folder / name))
        _wait_for_consensus(folder, processes, relays)
        yield known + CLIENT


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, each one another."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = secrets.choice(PORTS)
            sock = held.enter_context(closing(socket.socket()))
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
        return ports


def _authority(folder: Path, or_port: int, dir_port: int) -> str:
    """Make an authority's keys; the line by which others know it."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    subprocess.run(
        [_program("tor-gencert"), "--create-identity-key", "--passphrase-fd", "0"],
        cwd=keys,
        input=b"no secret\n",
        check=True,
        capture_output=True,
    )
    certificate = (keys / "authority_certificate").read_text()
    v3 = re.search(r"^fingerprint ([0-9A-F]{40})$", certificate, re.MULTILINE)
    assert v3 is not None
    nothing = folder / "nothing"
    options = ("--DataDirectory", folder, "--ORPort", "1", "--Nickname", folder.name)
    subprocess.run(
        [
            _program("tor"),
            "--list-fingerprint",
            "-f",
            nothing,
            "--defaults-torrc",
            nothing,
            *options,
        ],
        check=True,
        capture_output=True,
    )
    fingerprint = (folder / "fingerprint").read_text().split()[1]
    return (
        f"DirAuthority {folder.name} orport={or_port} no-v2 v3ident={v3[1]} "
        f"127.0.0.1:{dir_port} {fingerprint}\n"
    )


def _program(name: str) -> str:
    program = shutil.which(name, path=PATH)
    assert program is not None
    return program


@contextmanager
def _running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [_program("tor"), "--defaults-torrc", folder / "nothing", "-f", folder / "torrc"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for_consensus(
    folder: Path, processes: dict[str, subprocess.Popen[bytes]], relays: list[str]
) -> None:
    """Until every node has a consensus that lists all relays as fit for onion services."""
    until = time.monotonic() + CONSENSUS_S
    while not all(_agrees(folder / name, relays) for name in processes):
        ended = [name for name, process in processes.items() if process.poll() is not None]
        if ended or time.monotonic() > until:
            logs = {name: (folder / name / "log").read_text() for name in ended or processes}
            pytest.fail(f"the private Tor network does not come up, {ended} ended: {logs}")
        time.sleep(0.1)


def _agrees(folder: Path, relays: list[str]) -> bool:
    try:
        consensus = (folder / "cached-microdesc-consensus").read_text()
    except FileNotFoundError:
        return False
    listed = re.findall(r"^r (\S+) .*?^s (.*?)$", consensus, re.MULTILINE | re.DOTALL)
    return set(relays) <= {name for name, flags in listed if "HSDir" in flags.split()}
