"""A protocol of somebody else, by an entry point: `medians`, whose distribution lies in this folder
as if it were installed. `tests/simulation/test_conformance.py` runs it, `troth launch` included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from troth.charter.digest import canonical_json, charter_digest
from troth.charter.loading import LoadedScenario, charter_of, load_scenario
from troth.charter.shorthand import SHORT_FORMS
from troth.cli import run
from troth.errors import CharterError, VerificationError
from troth.protocols import lookup
from troth.protocols.lookup import GROUP, foreign_protocol
from troth.report.read import load_run

HERE = Path(__file__).parent
RECORD = (HERE / "troth_medians" / "protocol.py").read_text()
ZERO = "sha256:" + "0" * 64

Install = Callable[..., Path]
Load = Callable[..., LoadedScenario]


@pytest.fixture(autouse=True)
def _forgets() -> Iterator[None]:
    """What was found is kept for a process; here installed code changes within one."""
    foreign_protocol.cache_clear()
    yield
    foreign_protocol.cache_clear()


@pytest.fixture
def medians(monkeypatch: pytest.MonkeyPatch) -> None:
    """`medians` is installed."""
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution with one package, and an entry point for each name; its folder."""
    place = tmp_path / "installed"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))

    def write(
        package: str,
        text: str,
        *names: str,
        distribution: str | None = None,
        version: str = "1.0",
        attribute: str = "PROTOCOL",
    ) -> Path:
        distribution = distribution or package
        folder = place / package
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "protocol.py").write_text(text)
        info = place / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {package}.protocol:{attribute}\n" for name in names]
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(lines))
        return folder

    return write


def record(name: str) -> str:
    """The code of a record of another name."""
    return RECORD.replace('tag="medians"', f'tag="{name}"')


@pytest.fixture
def load(scenario_file: Callable[..., Path]) -> Load:
    """Loads a small scenario of a protocol."""

    def loaded(name: str, extra: str = "", *overrides: str) -> LoadedScenario:
        return load_scenario(scenario_file(f'name = "{name}"', extra), overrides=overrides)

    return loaded


# ------------------------------------------------------------------ what a charter says of it


def test_a_charter_says_whose_code_it_is(medians: None, load: Load) -> None:
    charter = load("medians").scenario.charter
    extension = charter.extension
    assert extension is not None
    assert (extension.distribution, extension.version) == ("troth-medians", "0.1")
    said = json.loads(canonical_json(charter))
    assert said["extension"] == {
        "digest": extension.digest, "distribution": "troth-medians", "version": "0.1",
    }  # fmt: skip
    assert charter_of(canonical_json(charter)) == charter
    assert "extension" not in json.loads(canonical_json(load("federated").scenario.charter))


def test_the_digest_covers_the_code(install: Install, load: Load) -> None:
    folder = install("foreign_changing", record("changing"), "changing")
    first = load("changing").scenario.charter
    assert load("changing").scenario.charter == first
    for file in (folder / "protocol.py", folder / "more.py"):
        with file.open("a") as written:
            written.write("# changed\n")
        foreign_protocol.cache_clear()
        changed = load("changing").scenario.charter
        assert changed.extension != first.extension
        assert charter_digest(changed) != charter_digest(first)
        first = changed
    (folder / "notes.txt").write_text("no code")
    foreign_protocol.cache_clear()
    assert load("changing").scenario.charter == first


def extension_of(digest: str, *, version: str = "0.1", distribution: str = "troth-medians") -> str:
    return (
        f'[extension]\ndistribution = "{distribution}"\nversion = "{version}"\ndigest = "{digest}"'
    )


def test_a_charter_may_name_the_code_itself(medians: None, load: Load) -> None:
    charter = load("medians").scenario.charter
    assert charter.extension is not None
    assert load("medians", extension_of(charter.extension.digest)).scenario.charter == charter


@pytest.mark.parametrize("wrong", ["digest", "version", "distribution"])
def test_other_code_than_the_charter_names_is_refused(
    medians: None,
    load: Load,
    scenario_file: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    wrong: str,
) -> None:
    extension = load("medians").scenario.charter.extension
    assert extension is not None
    named = {
        "digest": extension_of(ZERO),
        "version": extension_of(extension.digest, version="0.2"),
        "distribution": extension_of(extension.digest, distribution="troth-means"),
    }[wrong]
    with pytest.raises(VerificationError, match=r"what is installed here is troth-medians 0\.1"):
        load("medians", named)
    assert run(["check", str(scenario_file('name = "medians"', named))]) == 7
    assert_one_error(capsys)


def test_a_protocol_of_troth_names_no_code(load: Load) -> None:
    with pytest.raises(CharterError, match="extension has no effect"):
        load("federated", extension_of(ZERO))


# ------------------------------------------------------------------ its own table


def test_its_short_form_may_be_set(medians: None, load: Load) -> None:
    charter = load("medians", "", "protocol.step=0.25").scenario.charter
    # And is none of those that Troth's own schema and pages know.
    assert "protocol.step" not in SHORT_FORMS
    assert json.loads(canonical_json(charter))["protocol"]["step"] == {"decay": 1, "size": 0.25}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("protocol.step=-1", "protocol.step.size"),
        ("protocol.step={size=1, decay=2}", "protocol.step.decay"),
        ("protocol.steps=1", "protocol.steps"),
        ("protocol.deadline_s='soon'", "protocol.deadline_s"),
    ],
)
def test_what_its_table_does_not_allow_is_refused(
    medians: None,
    scenario_file: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    change: str,
    said: str,
) -> None:
    path = scenario_file('name = "medians"')
    assert run(["check", str(path), "--set", change]) == 3
    assert said in assert_one_error(capsys)


def test_its_privacy_may_be_its_own(install: Install, load: Load) -> None:
    own = 'class Hush(Table, frozen=True, tag="hush", tag_field="mechanism"):\n    scale: float = 1'
    text = record("hushed").replace("PROTOCOL =", f"{own}\n\nPROTOCOL =")
    install("foreign_hushed", text.replace("(NoPrivacy,)", "(Hush,)"), "hushed")
    for privacy, scale in (("", 1), ("[privacy]\nscale = 3.0", 3)):
        charter = load("hushed", privacy).scenario.charter
        said = json.loads(canonical_json(charter))["privacy"]
        assert said == {"mechanism": "hush", "scale": scale}
        assert charter_of(canonical_json(charter)) == charter
    with pytest.raises(CharterError, match="hush"):
        load("federated", '[privacy]\nmechanism = "hush"')


# ------------------------------------------------------------------ what cannot be used


def assert_one_error(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("text", "attribute", "said"),
    [
        ("import nothing_of_that_name", "PROTOCOL", "raised ModuleNotFoundError"),
        ("1 / 0", "PROTOCOL", "raised ZeroDivisionError: division by zero"),
        ("other = 1", "PROTOCOL", "raised AttributeError"),
        ("PROTOCOL = 1", "PROTOCOL", "is no record of a protocol of that name"),
        (record("another"), "PROTOCOL", "is no record of a protocol of that name"),
        (RECORD.replace("    pools_rows=None,\n", ""), "PROTOCOL", "raised TypeError"),
    ],
    ids=["import", "error", "attribute", "no record", "other name", "field"],
)
def test_what_is_no_protocol_is_refused(
    install: Install,
    scenario_file: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    text: str,
    attribute: str,
    said: str,
) -> None:
    number = request.node.callspec.id.replace(" ", "_")
    install(f"foreign_bad_{number}", text, "bad", attribute=attribute)
    assert run(["check", str(scenario_file('name = "bad"'))]) == 3
    error = assert_one_error(capsys)
    assert 'protocol.name = "bad"' in error
    assert said in error


def test_two_distributions_of_one_protocol_are_refused(
    install: Install, scenario_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    install("foreign_one", record("twice"), "twice", distribution="one")
    install("foreign_two", record("twice"), "twice", distribution="two")
    assert run(["check", str(scenario_file('name = "twice"'))]) == 3
    assert "is a protocol of several distributions: one, two" in assert_one_error(capsys)


def test_nothing_is_imported_for_a_protocol_of_troth(install: Install, load: Load) -> None:
    """Not even by the name of one, or of a protocol that nobody names."""
    install("foreign_trap", "raise RuntimeError('imported')", "federated", "trap")
    assert load("federated").scenario.charter.extension is None
    assert "foreign_trap" not in sys.modules
    with pytest.raises(CharterError, match='"medien" is not known'):
        load("medien")
    assert "foreign_trap" not in sys.modules
    with pytest.raises(CharterError, match="RuntimeError: imported"):
        load("trap")
    assert lookup.foreign_protocol("federated") is None


# ------------------------------------------------------------------ by the command line


def test_it_is_checked_and_simulated(scenario_file: Callable[..., Path], tmp_path: Path) -> None:
    """By processes that know of it by their path alone."""
    path, folder = scenario_file('name = "medians"\nstep = 0.5', rounds=2), tmp_path / "run"
    kept = filter(None, [os.environ.get("PYTHONPATH")])
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(HERE), *kept])}

    def troth(*arguments: object) -> str:
        command = [sys.executable, "-c", "from troth.cli import main; main()"]
        return subprocess.run(
            [*command, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    checked = troth("check", path)
    assert "troth-medians 0.1, sha256:" in checked
    said = json.loads(troth("check", path, "--format", "json"))
    assert said["extension"]["distribution"] == "troth-medians"
    assert said["traffic"]["Ask"]["messages"] == 6
    troth("simulate", path, "--into", folder, "--quiet")
    summary = load_run(folder).summary
    assert (summary.protocol, summary.status, summary.rounds) == ("medians", "finished", 2)
    assert summary.charter_digest == said["charter_digest"]
