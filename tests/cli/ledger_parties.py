"""Ten parties of a ledger, and what they have agreed on."""

from __future__ import annotations

from pathlib import Path

from command_lines import write_scenario

from troth.cli import run

PEERS = [f"party-{index}" for index in range(10)]


def write_ledger(folder: Path) -> Path:
    return write_scenario(
        folder,
        data='"breast_cancer"',
        model='"logistic"',
        rounds="2",
        count="10",
        protocol='"biscotti"\n[privacy]\nmask = { kind = "gaussian", sigma = 0.1 }\nslots = 2\n',
    )


def make_parties(folder: Path) -> Path:
    """Everybody's files, and the genesis, in a folder."""
    scenario = write_ledger(folder)
    for peer in PEERS:
        secret, into = folder / f"{peer}.secret", folder / f"{peer}.json"
        arguments = ("--name", peer, "--secret", secret, "--into", into)
        assert run(["genesis", "entry", str(scenario), *map(str, arguments)]) == 0
    entries = [str(folder / f"{peer}.json") for peer in PEERS]
    arguments = (*entries, "--into", str(folder / "genesis.bin"))
    assert run(["genesis", "build", str(scenario), *arguments]) == 0
    return folder
