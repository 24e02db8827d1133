"""`troth node --chain FILE --trust HASH`: what a peer of a ledger is given to begin with."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_lines import Outcome, Troth
from ledger_parties import PEERS, make_parties

from troth.chain.block import VerifiedBlock
from troth.charter.digest import canonical_json
from troth.charter.loading import load_scenario
from troth.crypto.identity import Identity
from troth.errors import ExitCode
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import CertifiedBlock
from troth.protocols.biscotti.ledger.head import model_bytes
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.protocols.biscotti.ledger.link import empty_block, first_state
from troth.protocols.biscotti.operation.founding import read_genesis_file, terms_of
from troth.worlds.real.peers import peers_text

ME = NodeId(PEERS[0])
OTHER = (
    "from pathlib import Path; from small_chain import write_chain; write_chain(Path('o.sqlite'))"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody's files; the chain of a peer whose first round has failed; a chain of others."""
    folder = make_parties(tmp_path_factory.mktemp("chain"))
    loaded = load_scenario(folder / "small.toml")
    genesis = read_genesis_file(folder / "genesis.bin")
    block = CertifiedBlock(empty_block(genesis, first_state(genesis)), certificate=None)
    with open_chain(
        folder / "c.sqlite",
        genesis,
        charter=canonical_json(loaded.scenario.charter),
        model=model_bytes(terms_of(loaded).initial_D),
    ) as store:
        store.append(VerifiedBlock(block.sealed))
    chains = str(Path(__file__).parent.parent / "protocols/biscotti/ledger")
    subprocess.run(
        [sys.executable, "-c", OTHER], cwd=folder, env={"PYTHONPATH": chains}, check=True
    )
    names = [NodeId(peer) for peer in PEERS]
    identities = {name: Identity.create() for name in names}
    identities[ME].save(folder / "own.pem")
    public = {name: who.public for name, who in identities.items()}
    (folder / "peers.toml").write_text(peers_text(public, {}))
    return folder


@pytest.fixture
def parties(folder: Path, made: Path) -> Path:
    """A copy of it to work in."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def start(troth: Troth, *more: object, genesis: bool = True) -> Outcome:
    """The first peer, which hears of nobody."""
    files = ("--secret", f"{ME}.secret", "--genesis", "genesis.bin") if genesis else ()
    return troth(
        "node", "--scenario", "small.toml", "--as", ME, "--identity", "own.pem",
        "--peers", "peers.toml", "--listen", "127.0.0.1:0", "--into", "own",
        "--give-up-after", "1", *files, *more,
    )  # fmt: skip


def refused(outcome: Outcome, says: str) -> None:
    """With one clear error, and nothing was written."""
    assert outcome.code == ExitCode.VERIFICATION_FAILED, outcome.err
    assert [line for line in outcome.err.splitlines() if line.startswith("error: ")] == [
        f"error: {says}"
    ]
    assert not Path("own").exists()


def test_a_sound_chain_is_begun_with(troth: Troth, parties: Path) -> None:
    outcome = start(troth, "--chain", "c.sqlite")
    # Nobody is there: it came as far as looking for others.
    assert outcome.code == ExitCode.UNREACHABLE, outcome.err
    assert "checks c.sqlite" in outcome.err
    summary = json.loads((parties / "own" / "summary.json").read_text())
    assert any("it listens until it begins a round" in note for note in summary["notes"])


def test_a_trusted_block_that_is_not_there(troth: Troth, parties: Path) -> None:
    assert parties.is_dir()
    outcome = start(troth, "--chain", "c.sqlite", "--trust", "AB" * 32)
    refused(outcome, f"c.sqlite: no block has the hash {'ab' * 32}")


def test_a_trusted_block_without_a_certificate(troth: Troth, parties: Path) -> None:
    assert parties.is_dir()
    (block,) = json.loads(troth("chain", "show", "c.sqlite", "--format", "json").out)
    outcome = start(troth, "--chain", "c.sqlite", "--trust", block["hash"])
    refused(outcome, "c.sqlite: block 1 has no certificate, so it cannot be trusted")


def test_a_chain_of_others(troth: Troth, parties: Path) -> None:
    other = json.loads(troth("chain", "show", "o.sqlite", "--height", "0").out)["id"]
    own = read_genesis_file(parties / "genesis.bin").id.hex()
    outcome = start(troth, "--chain", "o.sqlite")
    refused(outcome, f"o.sqlite: genesis: id: is {other}, and this peer's is {own}")


@pytest.mark.parametrize("trust", [(), ("--trust", "00" * 32)], ids=["checked", "trusted"])
@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE blocks SET data = CAST('?' || data AS BLOB)",
            "c.sqlite: block 1: head: was altered",
        ),
        (
            "UPDATE facts SET value = x'7b7d' WHERE key = 'charter'",
            "c.sqlite: genesis: charter: is not the digest of the charter beside it",
        ),
    ],
)
def test_an_altered_chain(
    troth: Troth, parties: Path, trust: tuple[str, ...], statement: str, says: str
) -> None:
    with closing(sqlite3.connect(parties / "c.sqlite")) as database, database:
        assert database.execute(statement).rowcount == 1
    refused(start(troth, "--chain", "c.sqlite", *trust), says)


@pytest.mark.parametrize(
    ("options", "genesis", "says"),
    [
        (("--trust", "00" * 32), True, "--trust needs --chain beside it"),
        (("--chain", "c.sqlite"), False, "--chain needs --secret and --genesis beside it"),
        (
            ("--chain", "c.sqlite", "--trust", "00" * 31),
            True,
            f"--trust='{'00' * 31}' is not the hash of a block, 64 hexadecimal digits",
        ),
        (("--chain", "absent.sqlite"), True, "absent.sqlite: there is no such file"),
    ],
)
def test_options_that_do_not_fit(
    troth: Troth, parties: Path, options: tuple[str, ...], genesis: bool, says: str
) -> None:
    outcome = start(troth, *options, genesis=genesis)
    assert outcome.code == ExitCode.USAGE
    assert f"error: {says}" in outcome.err.splitlines()
    assert not (parties / "own").exists()
