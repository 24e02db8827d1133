"""The rows that one node of a real run has: a file of its own, or its share of what a scenario
deals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from troth.charter.charter import Charter
from troth.charter.loading import LoadedScenario
from troth.data.examples import Examples
from troth.data.own_files import read_rows
from troth.data.root import data_root
from troth.data.spec import FileData
from troth.errors import UsageError, charter_errors_in
from troth.ids import NodeId, PartyId
from troth.learning.spec import TaskKind
from troth.worlds.dealing import Dealt, deal_rows
from troth.worlds.real.honest import check_honest


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows, and what a model has to know of them."""

    own: Examples
    test: Examples
    """To measure a final model on; `own`, where there are no others."""
    features: tuple[int, ...]
    """The shape of one example's features."""
    outputs: int
    """Classes C; 1 for regression."""
    task: TaskKind
    target_floor: float
    notes: tuple[str, ...] = ()


def rows_of_file(charter: Charter, path: Path) -> Rows:
    """All rows of a CSV, Parquet or NPZ file that holds what the charter's schema says.

    Raises:
      UsageError: the charter has no schema. DataError: the file does not hold what it says.
    """
    data = charter.task.data
    if not isinstance(data, FileData):
        raise UsageError(
            "the charter describes no file, it names a published data set",
            hint="give a scenario that deals it instead: --scenario FILE --as party-0",
        )
    own = read_rows(path, data.schema)
    labels = data.schema.labels()
    return Rows(
        own=own,
        test=own,
        features=tuple(data.schema.shape or own.x_NF.shape[1:]),
        outputs=max(1, len(labels)),
        task="classification" if labels else "regression",
        target_floor=1e-6 if labels else 0.01,
        notes=(f"{len(own)} rows of {path.name}",),
    )


def rows_of_scenario(loaded: LoadedScenario, id: NodeId) -> Rows:
    """What a scenario deals to one of its parties, or keeps for a coordinator.

    Raises:
      UsageError: it has no such party, or does not admit it.
      CharterError, DataError, VerificationError: the data cannot be had or dealt.
    """
    with charter_errors_in(loaded.path):
        check_honest(loaded.scenario)
        dealt = deal_rows(loaded.scenario, base=loaded.base, root=data_root())
    rows = dealt_rows(dealt, id)
    if rows is None:
        raise UsageError(
            f"{loaded.path}: admits no party {id}",
            hint=f"its parties are {', '.join(dealt.parties[:4])}"
            + (", ..." if len(dealt.parties) > 4 else ""),
        )
    return rows


def dealt_rows(dealt: Dealt, id: NodeId) -> Rows | None:
    """What was dealt to a party, or is kept by a coordinator; None of any other node."""
    mine = dealt.kept.get(id)
    if id in dealt.parties:
        mine = dealt.rows_of[PartyId(id)]
    if mine is None:
        return None
    return _rows(dealt, dealt.data.train.take(mine))


def test_rows(dealt: Dealt) -> Rows:
    """The test set, for a node that trains on nothing and only measures."""
    return _rows(dealt, dealt.data.test)


def _rows(dealt: Dealt, own: Examples) -> Rows:
    data = dealt.data
    return Rows(
        own=own,
        test=data.test,
        features=data.features,
        outputs=max(1, len(data.classes)),
        task=data.task,
        target_floor=data.target_floor,
        notes=dealt.notes,
    )
