"""Whatever is wrong with Tor is said in one line, with its exit code, and nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokered_nodes import write_tumours
from ports import free_port
from test_brokered_command_line import KEY, MODEL_ID, Failed, failed, own
from test_tor_parts import ONION

from troth.worlds.real.tor import process, program
from troth.worlds.real.tor.authorisation import ClientKey

__all__ = ["failed", "own"]

BY_ONION = f"https://{KEY}@{ONION}:443"
MISSPELT = f"https://{KEY}@{chr(ord(ONION[0]) ^ 3)}{ONION[1:]}:443"
STRAIGHT = f"https://{KEY}@127.0.0.1:1"


def join(own: Path, address: str, *arguments: object) -> list[object]:
    rows = ["--data", own / "rows.csv", "--into", own / "provider"]
    return ["join", f"{address}/{MODEL_ID}", *rows, *arguments]


def curate(own: Path, address: str, *arguments: object) -> list[object]:
    return [
        "curate", own / "charter.toml", "--identity", own / "own.pem", "--broker", address,
        "--validation", own / "rows.csv", "--into", own / "curator", *arguments,
    ]  # fmt: skip


@pytest.mark.parametrize("verb", [join, curate])
@pytest.mark.parametrize(
    ("address", "arguments", "said"),
    [
        (BY_ONION, [], "is an onion address, which only Tor reaches"),
        (STRAIGHT, ["--tor"], "is not an onion address"),
        (STRAIGHT, ["--tor-socks", "127.0.0.1:9"], "is not an onion address"),
        (MISSPELT, ["--tor"], "checksum or length is wrong"),
        (BY_ONION, ["--tor", "--tor-socks", "127.0.0.1:9"], "two ways to Tor"),
        (BY_ONION, ["--tor-socks", "127.0.0.1:9", "--tor-key", "k.pem"], "runs already"),
        (BY_ONION, ["--tor-socks", "127.0.0.1:9", "--tor-config", "c"], "runs already"),
        (BY_ONION, ["--tor-socks", "127.0.0.1"], "is not of the form HOST:PORT"),
        (BY_ONION, ["--tor-config", "c"], "for the tor that --tor starts"),
        (BY_ONION, ["--tor", "--tor-key", "absent.pem"], "absent.pem"),
        (BY_ONION, ["--tor", "--tor-config", "absent"], "absent"),
    ],
)
def test_options_that_do_not_go_together(
    tor_installed: None, failed: Failed, own: Path, verb: object, address: str,
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    ClientKey.create().save(own / "k.pem")
    assert callable(verb)
    files = [
        own / word if word in ("k.pem", "absent.pem", "absent") else word for word in arguments
    ]
    assert said in failed(2, *verb(own, address, *files))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tor", "--listen", "127.0.0.1:0"], "at its onion address only"),
        (["--tor", "--address", "example.org"], "at its onion address only"),
        (["--listen", "127.0.0.1:0", "--tor-client", "A" * 52], "say how --tor works"),
        (["--tor", "--tor-client", "A" * 51], "is not a client's public key"),
    ],
)
def test_a_broker_is_reached_one_way(
    failed: Failed, own: Path, arguments: list[str], said: str
) -> None:
    broker = ["broker", "--identity", own / "own.pem", "--into", own / "broker"]
    assert said in failed(2, *broker, *arguments)


def test_without_tor_no_verb_goes_on(
    failed: Failed, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(own))
    monkeypatch.setattr(program, "FURTHER_PLACES", ())
    said = "there is no program tor"
    broker = ["broker", "--identity", own / "own.pem", "--into", own / "broker"]
    assert said in failed(2, *join(own, BY_ONION, "--tor"))
    assert said in failed(2, *curate(own, BY_ONION, "--tor"))
    assert said in failed(2, *broker, "--tor")
    launch = ["launch", write_tumours(own), "--into", own / "launched", "--quiet"]
    assert said in failed(2, *launch, "--tor")


def test_only_brokered_scenarios_are_launched_by_tor(failed: Failed, own: Path) -> None:
    path = write_tumours(own)
    before, after = path.read_text().split("[protocol]")
    parties = after[after.index("[parties]") :]
    path.write_text(f'{before}[protocol]\nname = "federated"\n{parties}')
    said = failed(3, "launch", path, "--tor", "--into", own / "launched", "--quiet")
    assert "not reached by Tor" in said
    assert not (own / "launched").exists()
    assert "add --tor" in failed(2, "launch", path, "--tor-config", own / "c")


@pytest.mark.tor
def test_a_tor_that_finds_no_network(
    tor_installed: None, failed: Failed, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_S", 1.0)
    authority = f"DirAuthority none orport=9 v3ident={'A' * 40} 127.0.0.1:9 {'B' * 40}\n"
    (own / "config").write_text(f"TestingTorNetwork 1\n{authority}")
    by_tor = ["--tor", "--tor-config", own / "config"]
    said = "could not get into its network within 1 s"
    broker = ["broker", "--identity", own / "own.pem", "--into", own / "broker"]
    assert said in failed(4, *join(own, BY_ONION, *by_tor))
    assert said in failed(4, *broker, *by_tor)


def test_a_tor_that_runs_already_and_is_none(failed: Failed, own: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    assert f"no Tor at {nobody}" in failed(4, *join(own, BY_ONION, "--tor-socks", nobody))
    assert f"no Tor at {nobody}" in failed(4, *curate(own, BY_ONION, "--tor-socks", nobody))
