"""`troth chain`, on a chain file alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_lines import Troth

from troth.errors import ExitCode

TESTS = Path(__file__).parent.parent
CHAINS = TESTS / "protocols/biscotti/ledger"
MAKE = (
    "from pathlib import Path; from small_chain import write_chain; write_chain(Path('c.sqlite'))"
)


MAKE_RUN = """
from pathlib import Path
import msgspec
from small_run import small_run
from troth.protocols.biscotti.ledger.block import OPENING, opening_text

run = small_run()
run.write(Path('run.sqlite'))
block = run.blocks[0].block.content
first, *others = block.openings
text = opening_text(block.chain, 1, first.slot, bytes(32), first.blinding_seed, first.path)
signature = run.keys[first.noiser].signing.sign(OPENING, text)
false = msgspec.structs.replace(first, seed=bytes(32), signature=signature)
run.write(Path('twice.sqlite'), [run.blocks[0], run.changed(0, openings=(false, *others))])
print(first.noiser, first.slot, *sorted(run.aggregators(0)))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with the chains of a run, and what the second of them is to show."""
    folder = tmp_path_factory.mktemp("made")
    path = str(TESTS / "protocols" / "biscotti")
    made = subprocess.run(
        [sys.executable, "-c", MAKE_RUN],
        cwd=folder,
        env={"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    return folder, made.stdout.split()


@pytest.fixture
def run_file(folder: Path, made: tuple[Path, list[str]]) -> Path:
    """Of three rounds of a run."""
    shutil.copyfile(made[0] / "run.sqlite", folder / "c.sqlite")
    return Path("c.sqlite")


@pytest.fixture
def file(folder: Path) -> Path:
    """Written by another process, which has ended."""
    subprocess.run(
        [sys.executable, "-c", MAKE], cwd=folder, env={"PYTHONPATH": str(CHAINS)}, check=True
    )
    return Path("c.sqlite")


def spoil(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        assert database.execute(statement).rowcount == 1


def test_show_lists_blocks(troth: Troth, file: Path) -> None:
    outcome = troth("chain", "show", file)
    assert outcome.code == 0, outcome.err
    head, *rows = [line.split() for line in outcome.out.splitlines()]
    columns = "height proposer updates verdicts signers evidence stake hash"
    assert head == columns.split()
    assert [row[:7] for row in (rows[0], rows[2])] == [
        ["1", "party-2", "1", "1", "3", "0", "20"],
        ["3", "party-2", "1", "1", "3", "1", "10"],
    ]
    assert rows[1][:-1] == ["2", "0", "0", "0", "0", "0"]
    assert outcome.err == "next: troth chain show c.sqlite --height 3\n"
    listed = json.loads(troth("chain", "show", file, "--format", "json").out)
    assert [line["hash"][:16] for line in listed] == [row[-1] for row in rows]


def test_show_tells_all_of_one_block(troth: Troth, file: Path) -> None:
    block = json.loads(troth("chain", "show", file, "--height", "1").out)
    assert block["aggregate"] == [5, -7, 2]
    assert block["contributions"][0]["contributor"] == "party-0"
    assert block["certificate"]["signers"] == ["party-0", "party-1", "party-2"]
    genesis = json.loads(troth("chain", "show", file, "--height", "0").out)
    assert block["chain"] == block["previous"] == genesis["id"]
    assert [peer["peer"] for peer in genesis["peers"]] == [f"party-{index}" for index in range(4)]
    beyond = troth("chain", "show", file, "--height", "4")
    assert beyond.code == ExitCode.USAGE
    assert beyond.err == "error: c.sqlite: there is no block 4; the last one is 3\n"


def test_verify_says_what_was_checked_and_what_not(troth: Troth, run_file: Path) -> None:
    file = run_file
    outcome = troth("chain", "verify", file)
    assert outcome.code == 0, outcome.err
    said = dict(line.split() for line in outcome.out.splitlines())
    assert (said["height"], said["certified"], said["opened_slots"]) == ("3", "3", "24")
    checked, unchecked = outcome.err.splitlines()
    assert "sums against commitments" in checked
    assert unchecked.startswith("not checked, as no file shows it")
    result = json.loads(troth("chain", "verify", file, "--format", "json").out)
    assert result["hash"] == said["hash"]
    assert result["double_signatures"] == result["bad_slots"] == []
    known = troth("chain", "verify", file, "--id", said["id"], "--block", said["hash"].upper())
    assert known.code == 0


def test_verify_against_what_peers_say(troth: Troth, run_file: Path) -> None:
    """What no file can show by itself."""
    file = run_file
    said = json.loads(troth("chain", "verify", file, "--format", "json").out)
    other = troth("chain", "verify", file, "--id", "00" * 32)
    assert other.code == ExitCode.VERIFICATION_FAILED
    assert other.err == f"error: c.sqlite: genesis: is {said['id']}, not {'00' * 32}\n"
    spoil(file, "DELETE FROM blocks WHERE height = 3")
    assert troth("chain", "verify", file).code == 0
    cut = troth("chain", "verify", file, "--block", said["hash"])
    assert cut.code == ExitCode.VERIFICATION_FAILED
    assert f"no block has the hash {said['hash']}" in cut.err


def test_export_is_json_lines(troth: Troth, file: Path) -> None:
    outcome = troth("chain", "export", file)
    assert outcome.code == 0, outcome.err
    genesis, *blocks = map(json.loads, outcome.out.splitlines())
    assert (genesis["kind"], genesis["charter"]) == ("genesis", {"name": "small"})
    assert [block["kind"] for block in blocks] == ["block"] * 3
    links = [genesis["id"], *(block["hash"] for block in blocks)]
    assert [block["previous"] for block in blocks] == links[:-1]
    assert blocks[0] == json.loads(troth("chain", "show", file, "--height", "1").out)
    assert blocks[1]["certificate"] is blocks[1]["aggregate"] is None
    assert outcome.err == ""


@pytest.mark.parametrize("verb", ["show", "verify", "export"])
@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE blocks SET data = CAST('?' || data AS BLOB) WHERE height = 1",
            "c.sqlite: block 1: head: was altered",
        ),
        ("UPDATE blocks SET hash = x'00' WHERE height = 2", "c.sqlite: block 2: hash: was altered"),
        (
            "UPDATE blocks SET certificate = NULL WHERE height = 3",
            "c.sqlite: block 3: certificate: is missing, and it is not the empty block",
        ),
        (
            "UPDATE facts SET value = x'7b7d' WHERE key = 'charter'",
            "c.sqlite: genesis: charter: is not the digest of the charter beside it",
        ),
        ("DELETE FROM blocks WHERE height = 1", "block 2: previous: is no block of this file"),
    ],
)
def test_a_bad_chain_ends_with_7(
    troth: Troth, run_file: Path, verb: str, statement: str, says: str
) -> None:
    spoil(run_file, statement)
    outcome = troth("chain", verb, run_file)
    assert outcome.code == ExitCode.VERIFICATION_FAILED
    assert outcome.out == ""
    error, hint = outcome.err.splitlines()
    assert error.startswith("error: ")
    assert error.endswith(says)
    assert hint.startswith("hint: ask another peer for its chain")


@pytest.mark.parametrize("verb", ["show", "verify", "export"])
def test_files_that_are_no_chain(troth: Troth, folder: Path, verb: str) -> None:
    absent = troth("chain", verb, "absent.sqlite")
    assert (absent.code, absent.err) == (
        ExitCode.USAGE,
        "error: absent.sqlite: there is no such file\n",
    )
    (folder / "text.sqlite").write_text("not a database " * 100)
    text = troth("chain", verb, "text.sqlite")
    assert text.code == ExitCode.VERIFICATION_FAILED
    assert "text.sqlite: is not a chain: file is not a database" in text.err
    (folder / "empty.sqlite").touch()
    empty = troth("chain", verb, "empty.sqlite")
    assert empty.code == ExitCode.VERIFICATION_FAILED
    assert "empty.sqlite: is not a chain" in empty.err


def test_a_chain_that_is_being_written_is_not_read(troth: Troth, file: Path) -> None:
    writer = (
        "import sys; from pathlib import Path; from small_chain import open_store\n"
        "with open_store(Path('c.sqlite')):\n"
        "    print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writer],
        env={"PYTHONPATH": str(CHAINS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        busy = troth("chain", "show", file)
        process.communicate()
    assert busy.code == ExitCode.USAGE
    assert "the peer that writes this chain has it open" in busy.err
    assert troth("chain", "show", file).code == 0


def test_verify_names_who_signed_twice_and_whose_noise_was_false(
    troth: Troth, folder: Path, made: tuple[Path, list[str]]
) -> None:
    made_in, (noiser, slot, *signers) = made
    shutil.copyfile(made_in / "twice.sqlite", folder / "c.sqlite")
    outcome = troth("chain", "verify", "c.sqlite")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[6] == "branches      2"
    assert lines[8] == f"round 1: {', '.join(signers)} signed two blocks"
    false = f"round 1: slot {slot} of {noiser} is not the noise that it has committed to"
    result = json.loads(troth("chain", "verify", "c.sqlite", "--format", "json").out)
    # The false slot is on one of the two branches; which one wins, their hashes decide.
    assert lines[9:] == [false] * len(result["bad_slots"])
    [double] = result["double_signatures"]
    assert double["peers"] == signers
    assert len(troth("chain", "export", "c.sqlite").out.splitlines()) == 2


def test_verify_refuses_what_it_cannot_replay(troth: Troth, file: Path) -> None:
    """The structure of this chain is sound, and its charter is none."""
    outcome = troth("chain", "verify", file)
    assert outcome.code == ExitCode.VERIFICATION_FAILED
    assert outcome.err.startswith(
        "error: c.sqlite: genesis: charter: cannot be replayed: task is missing\n"
    )
