"""What is wrong with a command line of the real world is said in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from troth.cli import run
from troth.crypto.identity import Identity
from troth.ids import NodeId
from troth.worlds.real.peers import peers_text


def test_an_identity_is_made_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ann.pem"
    assert run(["identity", "new", str(path)]) == 0
    made = capsys.readouterr().out
    assert re.fullmatch(r"[0-9a-f]{64}\n", made)
    assert run(["identity", "show", str(path)]) == 0
    assert capsys.readouterr().out == made
    assert run(["identity", "new", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "needs either --listen or --connect"),
        (["--listen", "a:1", "--connect", "https://a:1"], 2, "needs either"),
        (["--listen", "nowhere"], 2, "not of the form HOST:PORT"),
        (["--listen", "a:99999"], 2, "not of the form HOST:PORT"),
        *(
            (["--connect", url], 2, f"--connect {url!r} is not of the form https://HOST:PORT")
            for url in (
                "http://a:1",
                "https://[::1:8443",
                "https://127.0.0.1:99999",
                "https://127.0.0.1:0",
                "https://127.0.0.1:x",
                "https://127.0.0.1",
                "https://ex ample:8443",
                "https://a:1/path",
                "https://a:1?query",
                "https://somebody@a:1",
                "https://:1",
                "",
            )
        ),
        (
            ["--connect", "https://127.0.0.1:1", "--give-up-after", "1"],
            4,
            "has not heard of server",
        ),
        (["--connect", "https://127.0.0.1:1", "--as", "party-9"], 2, "has no node party-9"),
        (["--connect", "https://127.0.0.1:1", "--as", "server"], 2, "server listens"),
        (["--connect", "https://a:1", "--secret", "s"], 2, "--secret needs --genesis beside it"),
        (["--connect", "https://a:1", "--genesis", "g"], 2, "--genesis needs --secret beside it"),
        (
            ["--connect", "https://a:1", "--set", "protocol.name=standalone"],
            3,
            "has no server",
        ),
    ],
)
def test_bad_node_command_lines(
    small_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    identity = Identity.create()
    identity.save(tmp_path / "own.pem")
    names = ("server", *(f"party-{i}" for i in range(1, 4)))
    public = {NodeId(name): Identity.create().public for name in names}
    (tmp_path / "peers.toml").write_text(peers_text(public))
    command = ["node", "--scenario", small_file, "--identity", tmp_path / "own.pem"]
    command += ["--peers", tmp_path / "peers.toml", "--into", tmp_path / "run"]
    if "server" in arguments:
        (tmp_path / "peers.toml").write_text(
            peers_text(
                public
                | {NodeId("server"): identity.public, NodeId("party-0"): public[NodeId("server")]}
            )
        )
    elif "--as" not in arguments:
        command += ["--as", "party-0"]
    assert run([*map(str, command), *arguments]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("error: ") == 1
    assert "Traceback" not in error


def test_what_cannot_be_launched_is_refused_before_anything_starts(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for change, code, said in (
        ("parties.count=90", 2, "91 nodes are more than 64"),
        ("protocol.name=centralised", 3, "has no server"),
        ('attacks=[{kind="sign_flip", fraction=0.2}]', 3, "belongs to a simulation"),
    ):
        into = tmp_path / "run"
        assert run(["launch", str(small_file), "--into", str(into), "--set", change]) == code
        assert said in capsys.readouterr().err
        assert not into.exists()
