"""What is wrong with `troth broker`, `curate` or `join` is said in one line, with its code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokered_nodes import Brokered, brokered, write_tumours
from ports import free_port

from troth.cli import run
from troth.crypto.identity import Identity
from troth.protocols.tormentor.protocol import BROKER, CURATOR

KEY, MODEL_ID = "ab" * 32, "sha256:" + "0" * 64

CHARTER = """
version = 1
name = "clinics"

[task]
kind = "classification"
model = "logistic"

[task.data]
source = "files"

[task.data.schema]
target = "worse"
classes = ["no", "yes"]
columns = [
  { name = "bmi", minimum = 10, maximum = 60 },
  { name = "pressure", minimum = 40, maximum = 200 },
]

[training]
rounds = 4
update = "gradient"
batch_size = "all"
learning_rate = 1.0

[protocol]
name = "tormentor"
difficulty = 1
admission_difficulty = 1
"""
STRANGERS = "min_providers = 3\n"
ROWS = "bmi,pressure,worse\n24.7,118,yes\n25.8,113,yes\n20.1,90,no\n22.5,101,no\n"

Failed = Callable[..., str]


@pytest.fixture
def failed(capsys: pytest.CaptureFixture[str]) -> Failed:
    """`failed(code, verb, ...)` carries out a command line, and gives what it says of its end."""

    def carry_out(code: int, *arguments: object) -> str:
        capsys.readouterr()
        assert run([str(argument) for argument in arguments]) == code, capsys.readouterr().err
        error = capsys.readouterr().err
        assert error.count("error: ") == 1
        assert "Traceback" not in error
        assert "bug in troth" not in error
        return error

    return carry_out


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokered]:
    """A broker and a curator that wait for providers."""
    folder = tmp_path_factory.mktemp("deployed")
    with brokered(write_tumours(folder), folder) as nodes:
        broker = nodes.start_broker()
        nodes.start(CURATOR)
        broker.event("deployed")
        yield nodes


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with an identity, a charter for strangers, and rows that fit it."""
    Identity.create().save(tmp_path / "own.pem")
    (tmp_path / "charter.toml").write_text(CHARTER + STRANGERS)
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        f"http://{KEY}@127.0.0.1:1/{MODEL_ID}",
        f"https://127.0.0.1:1/{MODEL_ID}",
        f"https://{KEY[:-1]}@127.0.0.1:1/{MODEL_ID}",
        f"https://{KEY.upper()}@127.0.0.1:1/{MODEL_ID}",
        f"https://{KEY}@127.0.0.1/{MODEL_ID}",
        f"https://{KEY}@127.0.0.1:99999/{MODEL_ID}",
        f"https://{KEY}@127.0.0.1:1/{MODEL_ID[:-1]}",
        f"https://{KEY}@127.0.0.1:1/{MODEL_ID}?x=1",
        f"https://{KEY}:password@127.0.0.1:1/{MODEL_ID}",
        f"https://{KEY}@[::1/{MODEL_ID}",
        "https://\x1b[31m@127.0.0.1:1/",
    ],
)
def test_an_address_of_another_form_is_refused(failed: Failed, own: Path, address: str) -> None:
    said = failed(2, "join", address, "--data", own / "rows.csv")
    assert "KEY@HOST:PORT" in said
    assert "\x1b[31m" not in said
    curate = ["curate", own / "charter.toml", "--identity", own / "own.pem", "--broker", address]
    assert "KEY@HOST:PORT" in failed(2, *curate, "--validation", own / "rows.csv")


def test_an_address_without_a_model_is_none_to_join(failed: Failed, own: Path) -> None:
    said = failed(2, "join", f"https://{KEY}@127.0.0.1:1", "--data", own / "rows.csv")
    assert "names no model" in said


@pytest.mark.parametrize("rows", [[], ["--data", "a", "--scenario", "b"], ["--scenario", "b"]])
def test_a_provider_needs_rows_from_one_place(failed: Failed, rows: list[str]) -> None:
    said = failed(2, "join", f"https://{KEY}@127.0.0.1:1/{MODEL_ID}", *rows)
    assert "needs either --data, or --scenario and --as" in said


def test_a_broker_that_is_not_there(failed: Failed, own: Path) -> None:
    address = f"https://{KEY}@127.0.0.1:{free_port()}"
    join = ["join", f"{address}/{MODEL_ID}", "--data", own / "rows.csv"]
    assert "does not answer" in failed(4, *join, "--give-up-after", "1")
    curate = ["curate", own / "charter.toml", "--identity", own / "own.pem", "--broker", address]
    curate += ["--validation", own / "rows.csv", "--into", own / "curator"]
    assert "has not heard of broker for 1 s" in failed(4, *curate, "--give-up-after", "1")


def test_a_broker_with_another_key(failed: Failed, deployed: Brokered, own: Path) -> None:
    where = deployed.address.split("@")[1]
    address = f"https://{KEY}@{where}"
    said = failed(7, "join", f"{address}/{MODEL_ID}", "--data", own / "rows.csv")
    assert "cannot prove to be the broker" in said
    curate = ["curate", own / "charter.toml", "--identity", own / "own.pem", "--broker", address]
    curate += ["--validation", own / "rows.csv", "--into", own / "curator"]
    assert "cannot prove to be the broker" in failed(7, *curate)


def test_a_model_that_the_broker_does_not_have(
    failed: Failed, deployed: Brokered, own: Path
) -> None:
    said = failed(5, "join", f"{deployed.address}/{MODEL_ID}", "--data", own / "rows.csv")
    assert "no such model here" in said
    curate = ["curate", own / "charter.toml", "--identity", own / "own.pem"]
    curate += ["--broker", deployed.address, "--validation", own / "rows.csv"]
    assert "no such model here" in failed(5, *curate, "--into", own / "curator")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--as", "party-9"], 2, "admits no party party-9"),
        (["--as", "broker"], 2, "admits no party broker"),
        (["--as", "party-1", "--set", "task.data=digits"], 3, "10"),
    ],
)
def test_a_scenario_that_has_no_rows_for_a_provider(
    failed: Failed, deployed: Brokered, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    command = ["join", deployed.joining, "--scenario", deployed.scenario, "--into", tmp_path / "p"]
    assert said in failed(code, *command, *arguments)


def test_a_provider_whose_charter_describes_no_file(
    failed: Failed, deployed: Brokered, own: Path
) -> None:
    said = failed(2, "join", deployed.joining, "--data", own / "rows.csv", "--into", own / "p")
    assert "names a published data set" in said


def test_anybody_may_ask_how_far_it_is(
    failed: Failed, deployed: Brokered, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", deployed.joining]) == 0
    assert capsys.readouterr().out.split() == ["round", "0", "version", "0", "providers", "0"]
    assert run(["status", deployed.joining, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"round": 0, "version": 0, "providers": 0}
    assert "names no model" in failed(2, "status", deployed.address)
    away = deployed.joining.replace(deployed.listen, f"127.0.0.1:{free_port()}")
    assert "does not answer" in failed(4, "status", away, "--give-up-after", "1")


# ---------------------------------------------------------------- what a curator brings


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("min_providers = 3\n", ""), 3, "protocol.min_providers is missing"),
        (
            (
                CHARTER[CHARTER.index("[protocol]") :] + STRANGERS,
                '[protocol]\nname = "federated"\n',
            ),
            3,
            "is for parties that know each other",
        ),
        (('"bmi"', '"weight"'), 3, "weight"),
    ],
)
def test_a_charter_that_is_not_for_strangers(
    failed: Failed, own: Path, change: tuple[str, str], code: int, said: str
) -> None:
    path = own / "charter.toml"
    path.write_text(path.read_text().replace(*change))
    curate = ["curate", path, "--identity", own / "own.pem", "--into", own / "curator"]
    curate += ["--broker", f"https://{KEY}@127.0.0.1:1", "--validation", own / "rows.csv"]
    assert said in failed(code, *curate)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.replace("bmi", "weight"), "bmi"),
        (ROWS + "70.0,118,yes\n", "70"),
        (ROWS + "20.0,118,perhaps\n", "perhaps"),
        (ROWS + "20.0,,yes\n", "pressure"),
        ("bmi,pressure,worse\n", "rows.csv"),
        (None, "rows.csv"),
    ],
    ids=["column", "range", "class", "empty", "nothing", "absent"],
)
def test_rows_that_do_not_fit_the_schema(
    failed: Failed, own: Path, rows: str | None, said: str
) -> None:
    if rows is None:
        (own / "rows.csv").unlink()
    else:
        (own / "rows.csv").write_text(rows)
    curate = ["curate", own / "charter.toml", "--identity", own / "own.pem"]
    curate += ["--broker", f"https://{KEY}@127.0.0.1:1", "--validation", own / "rows.csv"]
    assert said in failed(3, *curate, "--into", own / "curator")
    assert not (own / "curator").exists()


def test_a_broker_that_does_not_take_the_charter(failed: Failed, own: Path) -> None:
    """Each time it goes on waiting for one that it takes."""
    scenario = write_tumours(own)
    Identity.create().save(own / "stranger.pem")
    with brokered(scenario, own) as nodes:
        nodes.further[BROKER] = ["--curator", Identity.load(own / "curator.pem").public]
        nodes.start_broker()
        curate = ["curate", own / "charter.toml", "--broker", nodes.address]
        curate += ["--validation", own / "rows.csv"]
        said = failed(5, *curate, "--identity", own / "stranger.pem", "--into", own / "c1")
        assert "of curators on its list only" in said

        (own / "mine.py").write_text("def check(params_D, update_D, error):\n    return None\n")
        names_code = '\nverifiers = [{ kind = "callable", callable = "mine:check" }]\n'
        (own / "charter.toml").write_text(CHARTER + STRANGERS + names_code)
        known = ["--identity", own / "curator.pem"]
        said = failed(5, *curate, *known, "--into", own / "c2")
        assert "names code" in said
        assert "mine:check" in said


# ---------------------------------------------------------------- own data


def test_a_provider_whose_own_rows_do_not_fit(failed: Failed, own: Path) -> None:
    with brokered(write_tumours(own), own) as nodes:
        (own / "mine.py").write_text("def check(params_D, update_D, error):\n    return None\n")
        names_code = '\nverifiers = [{ kind = "callable", callable = "mine:check" }]\n'
        (own / "charter.toml").write_text(CHARTER + STRANGERS + names_code)
        nodes.further[BROKER] = ["--code", own]
        broker = nodes.start_broker()
        nodes.start_verb(
            CURATOR, "curate", own / "charter.toml", "--validation", own / "rows.csv",
            "--broker", nodes.address, "--identity", own / "curator.pem",
        )  # fmt: skip
        address = broker.event("deployed")
        join = ["join", address, "--into", own / "provider", "--data"]
        assert "names code" in failed(3, *join, own / "rows.csv")
        join = ["join", address, "--code", own, "--into", own / "provider", "--data"]
        (own / "wrong.csv").write_text(ROWS.replace("118", "900"))
        assert "wrong.csv" in failed(3, *join, own / "wrong.csv")
        assert "absent.csv" in failed(3, *join, own / "absent.csv")
        (own / "privacy.toml").write_text('[privacy]\nmechanism = "gauss"\n')
        said = failed(3, *join, own / "rows.csv", "--privacy", own / "privacy.toml")
        assert "privacy.toml" in said
        assert not (own / "provider").exists()


# ---------------------------------------------------------------- folders


def test_a_broker_that_cannot_start(failed: Failed, deployed: Brokered, own: Path) -> None:
    who = ["--identity", own / "own.pem", "--into", own / "broker"]
    port = free_port()
    broker = ["broker", *who, "--listen"]
    assert "HOST:PORT" in failed(2, *broker, "nowhere")
    assert "HOST:PORT" in failed(2, *broker, "127.0.0.1:99999")
    taken = deployed.listen
    assert taken in failed(2, *broker, taken)
    assert "public id" in failed(2, *broker, f"127.0.0.1:{port}", "--curator", "me")
    assert "absent.pem" in failed(
        2, "broker", "--identity", own / "absent.pem", "--listen", f"127.0.0.1:{port}"
    )
    assert not (own / "broker").exists()


def test_a_broker_that_is_started_twice(failed: Failed, deployed: Brokered) -> None:
    said = failed(
        2, "broker", "--identity", deployed.folder / "broker.pem",
        "--listen", "127.0.0.1:0", "--into", deployed.folder / BROKER,
    )  # fmt: skip
    assert "another process runs in this folder" in said


@pytest.mark.parametrize(
    "alter", [lambda data: data[:-1], lambda data: data.replace(b"rounds", b"roundz")]
)
def test_what_was_curated_and_altered_is_noticed(
    failed: Failed, deployed: Brokered, own: Path, alter: Callable[[bytes], bytes]
) -> None:
    shutil.copytree(deployed.folder / BROKER, own / "broker")
    path = own / "broker" / "curated.msgpack"
    path.write_bytes(alter(path.read_bytes()))
    said = failed(
        7, "broker", "--identity", own / "own.pem", "--listen", "127.0.0.1:0", "--into", path.parent
    )
    assert "curated.msgpack" in said


def test_a_folder_of_something_else(failed: Failed, deployed: Brokered, own: Path) -> None:
    (own / "other").mkdir()
    (own / "other" / "notes.txt").write_text("not a run's\n")
    rows = ["--scenario", deployed.scenario, "--as", "party-1"]
    join = ["join", deployed.joining, *rows, "--into"]
    assert "other" in failed(2, *join, own / "other")
    # The curator's: its journal is another node's.
    shutil.copytree(deployed.folder / CURATOR, own / "curator")
    assert "belongs to another node" in failed(7, *join, own / "curator")
    simulated = own / "simulated"
    assert run(["simulate", str(deployed.scenario), "--into", str(simulated), "--quiet"]) == 0
    assert "simulated run" in failed(2, *join, simulated)
