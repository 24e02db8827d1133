"""`troth genesis`: ten parties make their entries, one builds the genesis, each checks it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_lines import Outcome, Troth
from ledger_parties import PEERS, make_parties

from troth.errors import ExitCode


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everybody's files, and the genesis."""
    return make_parties(tmp_path_factory.mktemp("genesis"))


@pytest.fixture
def parties(folder: Path, made: Path) -> Path:
    """A copy of it to work in."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def entry(troth: Troth, peer: str, *more: object, secret: str | None = None) -> Outcome:
    name = secret or f"{peer}.secret"
    files = ("--secret", name, "--into", f"{peer}.again.json")
    return troth("genesis", "entry", "small.toml", "--name", peer, *files, *more)


def test_each_peer_finds_itself_in_the_genesis(troth: Troth, parties: Path) -> None:
    assert parties.is_dir()
    ids = set()
    for peer in (PEERS[0], PEERS[9]):
        own = ("--name", peer, "--secret", f"{peer}.secret")
        outcome = troth("genesis", "check", "genesis.bin", "small.toml", *own)
        assert outcome.code == 0, outcome.err
        assert outcome.err == "compare the id with the other parties before you start\n"
        lines = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
        ids.add(lines[0][1])
        assert [said for name, said in lines if name == "peer"] == [
            f"{each}, stake 10" for each in PEERS
        ]
        # 3 of 10 peers are adversarial: two are among 3 aggregators with probability 22 / 120.
        assert any("privacy fails" in said and "0.18 a round" in said for _, said in lines)
    entries = [f"{peer}.json" for peer in reversed(PEERS)]
    again = troth("genesis", "build", "small.toml", *entries, "--into", "again.bin")
    assert ids == {again.out.strip()}
    assert (parties / "again.bin").read_bytes() == (parties / "genesis.bin").read_bytes()


def test_check_for_others_says_so(troth: Troth, parties: Path) -> None:
    assert parties.is_dir()
    outcome = troth("genesis", "check", "genesis.bin", "small.toml", "--format", "json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["stake"] == dict.fromkeys(PEERS, 10)
    assert "nobody's own entry was compared" in outcome.err


def test_an_entry_made_again_is_the_same(troth: Troth, parties: Path) -> None:
    outcome = entry(troth, PEERS[0])
    assert outcome.code == 0
    # The noise was there already.
    assert "noise:" not in outcome.err
    again = (parties / "party-0.again.json").read_bytes()
    assert again == (parties / "party-0.json").read_bytes()
    (parties / "party-0.secret.noise").unlink()
    outcome = entry(troth, PEERS[0])
    assert "noise: 4 of 4 slots" in outcome.err
    assert (parties / "party-0.again.json").read_bytes() == again


def test_a_secret_is_for_one_run(troth: Troth, parties: Path) -> None:
    """Noise that hides two updates gives their difference away."""
    assert parties.is_dir()
    other = entry(troth, PEERS[0], "--set", "training.rounds=3")
    assert other.code == ExitCode.USAGE
    assert "party-0.secret: is the secret for another charter" in other.err
    assert "noise that is used twice hides nothing" in other.err
    other = entry(troth, PEERS[1], secret="party-0.secret")
    assert "is the secret for another peer, party-0" in other.err


def test_files_that_do_not_belong_together(troth: Troth, parties: Path) -> None:
    noise = parties / "party-0.secret.noise"
    shutil.copyfile(parties / "party-1.secret.noise", noise)
    outcome = entry(troth, PEERS[0])
    assert outcome.code == ExitCode.VERIFICATION_FAILED
    assert "follows from another secret than party-0.secret" in outcome.err
    sound = (parties / "party-1.secret.noise").read_bytes()
    for place, says in ((len(sound) // 2, "is damaged"), (1, "holds no noise")):
        altered = bytearray(sound)
        altered[place] ^= 1
        (parties / "party-1.secret.noise").write_bytes(altered)
        outcome = entry(troth, PEERS[1])
        assert outcome.code == ExitCode.VERIFICATION_FAILED
        assert says in outcome.err
    (parties / "party-2.secret").write_bytes(bytes(31))
    assert "holds 31 bytes" in entry(troth, PEERS[2]).err
    (parties / "party-3.secret").chmod(0o644)
    assert "others may read this secret key" in entry(troth, PEERS[3]).err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("training.rounds=3", "genesis: charter: is sha256:"),
        ("protocol.stake.initial=11", "genesis: charter: is sha256:"),
        ("admission.minimum_examples=2", "genesis: charter: is sha256:"),
    ],
)
def test_a_genesis_of_something_else_ends_with_7(
    troth: Troth, parties: Path, change: str, says: str
) -> None:
    assert parties.is_dir()
    outcome = troth("genesis", "check", "genesis.bin", "small.toml", "--set", change)
    assert outcome.code == ExitCode.VERIFICATION_FAILED, outcome.err
    assert says in outcome.err


def test_an_entry_that_was_replaced_ends_with_7(troth: Troth, parties: Path) -> None:
    """By whoever has built the genesis, and has made party-0 up."""
    other = entry(troth, PEERS[0], secret="other.secret")
    assert other.code == 0, other.err
    entries = ["party-0.again.json", *(f"{peer}.json" for peer in PEERS[1:])]
    assert troth("genesis", "build", "small.toml", *entries, "--into", "genesis.bin").code == 0
    own = ("--name", "party-0", "--secret", "party-0.secret")
    outcome = troth("genesis", "check", "genesis.bin", "small.toml", *own)
    assert outcome.code == ExitCode.VERIFICATION_FAILED
    assert "error: genesis: peers: party-0 has published another signing" in outcome.err
    # Nobody who takes no part can see that.
    assert troth("genesis", "check", "genesis.bin", "small.toml").code == 0
    data = bytearray((parties / "genesis.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (parties / "genesis.bin").write_bytes(data)
    altered = troth("genesis", "check", "genesis.bin", "small.toml")
    assert altered.code == ExitCode.VERIFICATION_FAILED


def test_entries_are_checked(troth: Troth, parties: Path) -> None:
    def build(*entries: str) -> Outcome:
        return troth("genesis", "build", "small.toml", *entries, "--into", "new.bin")

    everybody = [f"{peer}.json" for peer in PEERS]
    twice = build(*everybody, "party-0.json")
    assert twice.code == ExitCode.VERIFICATION_FAILED
    assert "party-0 comes after party-0" in twice.err
    few = build(*everybody[:5])
    assert few.code == ExitCode.CHARTER
    assert "error: small.toml: parties.count = 5 are fewer parties than a round takes, 8" in few.err
    left_out = build(*everybody[1:])
    assert left_out.code == 0
    assert left_out.err.startswith("without party-0\n")
    (parties / "new.bin").unlink()
    text = (parties / "party-0.json").read_text().replace('"party-0"', '"party-99"')
    (parties / "party-0.json").write_text(text)
    forged = build(*everybody)
    assert forged.code == ExitCode.VERIFICATION_FAILED
    assert "party-0.json: party-99" in forged.err
    assert not (parties / "new.bin").exists()


def test_who_is_nobody(troth: Troth, parties: Path) -> None:
    assert parties.is_dir()
    nobody = entry(troth, "hospital-1")
    assert nobody.code == ExitCode.USAGE
    assert "the scenario has no party hospital-1" in nobody.err
    half = troth("genesis", "check", "genesis.bin", "small.toml", "--name", "party-0")
    assert half.code == ExitCode.USAGE
    assert "--name and --secret go together" in half.err


def test_a_genesis_is_for_ledgers_of_real_peers(troth: Troth, parties: Path) -> None:
    assert parties.is_dir()
    changes = ("--set", "protocol=federated", "--set", "privacy={mechanism='none'}")
    other = troth("genesis", "check", "genesis.bin", "small.toml", *changes)
    assert other.code == ExitCode.CHARTER
    assert "needs no genesis" in other.err
    modelled = entry(troth, PEERS[0], "--set", "cryptography.group=modelled")
    assert modelled.code == ExitCode.CHARTER
    assert "binds nobody" in modelled.err
