"""Nothing but the onion address identifies anyone: what is said is recorded, and looked at."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from brokered_nodes import Brokered, stopping, write_tumours
from client_hello import EARLY_DATA, PRE_SHARED_KEY, ClientHello, parse_client_hello
from cryptography import x509
from heard import MSGPACK, Headers, Heard, heard
from identifying import ALIKE, Machine, Secrets, clocks_in, identifying
from onion_relay import Recorded, recorded
from ports import free_port

from troth.crypto.identity import Identity
from troth.protocols.tormentor.messages import NOTHING, Curated, GradientUpdate
from troth.protocols.tormentor.operation.face import fetch_status
from troth.protocols.tormentor.operation.terms import charter_text
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.report.folder import RunFolder
from troth.report.read import load_run
from troth.wire import Codec
from troth.worlds.real.api.address import Address, parse_address
from troth.worlds.real.api.client import make_client
from troth.worlds.real.api.paths import path_of
from troth.worlds.real.limits import Limits
from troth.worlds.real.tls import stranger_context
from troth.worlds.real.tor.transport import TorTransport

pytestmark = [pytest.mark.tor, pytest.mark.slow]

ROUNDS, PARTIES = 4, 3
BULK = 'synchrony = "bulk_synchronous"\n'
LOOKED_AT = 'verifiers = [{ kind = "roni", share = 1.0, threshold = 0.0001 }]'
SEED = 8_046_029_254_386_353
EPSILON, DELTA, CLIP = 8.125, 1.25e-4, 1.0625
PRIVACY = f"""
[privacy]
mechanism = "laplace"
epsilon = {EPSILON}
delta = {DELTA}
clip = {CLIP}
"""


class RecordedNodes(Brokered):
    """A broker whose onion service is the relay's; the others share the relay's tor."""

    def __init__(self, scenario: Path, folder: Path) -> None:
        super().__init__(scenario, folder, ())
        self.port = free_port()
        self.identity = Identity.load(folder / f"{BROKER}.pem")

    def listening(self) -> list[object]:
        return ["--listen", f"127.0.0.1:{self.port}"]

    def come_by(self, relay: Recorded) -> None:
        relay.leads_to(self.port)
        self.further[BROKER] = ["--address", f"{relay.address}:443"]
        for name in (CURATOR, *self.providers):
            self.further[name] = ["--tor-socks", f"{relay.socks.host}:{relay.socks.port}"]


@dataclass(frozen=True)
class Recording:
    """All that was said in one training, and what must not have been."""

    nodes: RecordedNodes
    relay: Recorded
    pids: list[int]

    def asked(self) -> list[Heard]:
        return [one for each in self.relay.clear.connections for one in heard(bytes(each.asked))]

    def answered(self) -> list[Heard]:
        return [one for each in self.relay.clear.connections for one in heard(bytes(each.answered))]

    def hellos(self) -> list[ClientHello]:
        return [parse_client_hello(bytes(each.asked)) for each in self.relay.before.connections]

    def secrets(self) -> Secrets:
        nodes = self.nodes
        folders = [nodes.folder / name for name in (BROKER, CURATOR, *nodes.providers)]
        numbers: list[float] = [SEED, EPSILON, DELTA, CLIP, *self.pids]
        for name in nodes.providers:
            folder = RunFolder.open(nodes.folder / name)
            (seed,) = re.findall(r"^seed = (\d+)$", folder.scenario_text(), re.MULTILINE)
            (party,) = folder.summary().parties
            numbers += [int(seed), party.examples]
        for folder in folders:
            with closing(sqlite3.connect(folder / "journal.sqlite")) as journal:
                (secret,) = journal.execute(
                    "SELECT value FROM node WHERE key = 'secret'"
                ).fetchone()
            numbers.append(int.from_bytes(secret))
        texts = [*nodes.providers, nodes.scenario.stem, *map(str, folders), "journal", ".toml"]
        return Secrets(texts, numbers)


@pytest.fixture(scope="module")
def recording(tor_network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    folder = tmp_path_factory.mktemp("anonymity")
    scenario = folder / "hospital-of-ann.toml"
    # Every update is looked at: some are refused, and told why.
    text = write_tumours(folder, f"{BULK}{LOOKED_AT}", rounds=ROUNDS).read_text()
    scenario.write_text(text.replace("seed = 3", f"seed = {SEED}"))
    (folder / "privacy.toml").write_text(PRIVACY)
    nodes = RecordedNodes(scenario, folder)
    with recorded(nodes.identity, folder / "relay", tor_network) as relay:
        nodes.come_by(relay)
        nodes.further["party-1"] += ["--privacy", folder / "privacy.toml"]
        with stopping(nodes):
            broker = nodes.start_broker()
            nodes.start(CURATOR)
            deployed = broker.event("deployed")
            for name in nodes.providers:
                nodes.start(name)
            asyncio.run(_ask_around(parse_address(deployed), relay))
            nodes.end()
        pids = [os.getpid(), *(node.pid for node in nodes.nodes.values())]
        yield Recording(nodes, relay, pids)


async def _ask_around(address: Address, relay: Recorded) -> None:
    """What else can be asked, rightly and wrongly."""
    assert address.model_id is not None
    tls = stranger_context(address.public)
    base = f"https://{address.host}"
    async with httpx.AsyncClient(transport=TorTransport(relay.socks, tls), timeout=60) as http:
        del http.headers["user-agent"]
        path = f"{base}/v1/models/{address.model_id}"
        json = {"content-type": "application/json", "accept": "application/json"}
        answers = [
            await http.get(f"{base}/nothing"),
            await http.get(f"{base}/v1/models/sha256:{'0' * 64}"),
            await http.put(f"{path}/join", headers=json),
            await http.post(f"{path}/join", content=b"{}", headers=json),
            await http.post(f"{path}/join", content=b"[1]", headers=json),
            await http.get(path, headers={"accept": "text/html"}),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 405, 400, 400, 406]
    assert (await fetch_status(address, socks=relay.socks)).round <= ROUNDS
    forged = GradientUpdate(address.model_id, bytes(32), bytes(32), b"", 0, NOTHING)
    async with make_client(address, Limits(), relay.socks) as client:
        data = Codec((GradientUpdate,)).encode(forged)
        headers = {"content-type": MSGPACK, "accept": MSGPACK, "content-length": str(len(data))}
        refused = await client.post(path_of(forged), content=data, headers=headers)
    assert refused.status_code == 422


def test_the_training_went_on_as_always(recording: Recording) -> None:
    """Or else there was nothing to look at."""
    assert load_run(recording.nodes.folder / CURATOR).summary.status == "finished"
    places = {place.partition(".")[0] for one in _all(recording) for place, _ in one.fields()}
    expected = {"Curate", "Curated", "Join", "Admission", "Solve", "Joined", "GradientUpdate"}
    expected |= {
        "Next",
        "Refused",
        "Finished",
        "Delivered",
        "Delivery",
        "Fetch",
        "Progress",
        "json",
    }
    assert expected <= places


def test_no_message_identifies_anyone(recording: Recording) -> None:
    assert not identifying(_all(recording), Machine(), recording.secrets())


def test_the_broker_has_no_other_address_than_its_onion(recording: Recording) -> None:
    onion = f"https://{recording.nodes.address.split('//')[1]}"
    assert recording.relay.address in onion
    (address,) = {
        value for one in recording.answered() for place, value in one.fields()
        if place == f"{Curated.__name__}.address"
    }  # fmt: skip
    assert address == onion
    assert {one.header(b"host") for one in recording.asked()} == {recording.relay.address.encode()}


def test_the_charter_is_what_was_signed_and_no_more(recording: Recording) -> None:
    charters = [
        one.body
        for one in recording.answered()
        if one.body.startswith(b'{"') and b'"task"' in one.body
    ]
    assert len(charters) == PARTIES
    assert set(charters) == {charter_text(recording.nodes.charter)}


def test_headers_are_the_same_for_all(recording: Recording) -> None:
    """Their names, order and values, of curator and providers; lengths are those of the bodies."""
    questions = [one for one in recording.asked() if one.header(b"content-type") == MSGPACK]
    assert len(questions) > PARTIES * ROUNDS
    (headers,) = {_headers(one) for one in questions}
    assert headers == (
        (b"Host", recording.relay.address.encode()),
        (b"Connection", b"keep-alive"),
        (b"accept-encoding", b"identity"),
        (b"content-type", MSGPACK),
        (b"accept", MSGPACK),
        (b"content-length", b""),
    )
    answers = {name for one in recording.answered() for name, _ in one.headers}
    assert answers <= {b"content-type", b"content-length", b"retry-after", b"allow", b"connection"}


def _headers(one: Heard) -> Headers:
    return tuple((n, b"" if n.lower() == b"content-length" else v) for n, v in one.headers)


def test_tls_tells_no_two_apart(recording: Recording) -> None:
    hellos = recording.hellos()
    assert len(hellos) > 2 * PARTIES
    assert len({hello.fingerprint() for hello in hellos}) == 1
    assert len({hello.random for hello in hellos}) == len(hellos)
    assert len({hello.session_id for hello in hellos}) == len(hellos)
    assert not clocks_in([hello.random for hello in hellos])
    for hello in hellos:
        assert not {PRE_SHARED_KEY, EARLY_DATA} & set(hello.kinds), "a session is resumed"


def test_what_the_broker_shows_tells_its_key_only(recording: Recording) -> None:
    (shown,) = {each.certificate for each in recording.relay.clear.connections}
    assert shown is not None
    certificate = x509.load_der_x509_certificate(shown)
    assert (certificate.not_valid_before_utc.year, certificate.not_valid_after_utc.year) == (
        2000,
        9999,
    )
    public = recording.nodes.address.split("//")[1].split("@")[0]
    names = [certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()]
    assert names == ["CN=node.invalid", f"CN={public}"]
    # RFC 8446, 4.1.3: record and handshake headers, version, random.
    randoms = [bytes(each.answered[11:43]) for each in recording.relay.behind.connections]
    assert len(set(randoms)) > ALIKE
    assert not clocks_in(randoms)


def _all(recording: Recording) -> list[Heard]:
    return [*recording.asked(), *recording.answered()]
