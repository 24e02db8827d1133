"""Who holds what: enough data for everybody."""

from __future__ import annotations

from troth.charter.rules.common import classes, facts, training_rows
from troth.charter.scenario import Scenario
from troth.data.spec import (
    AsGiven,
    ByClass,
    ByColumn,
    Dirichlet,
    Equal,
    FileData,
    NamedData,
    RandomFraction,
    RandomSizes,
)
from troth.errors import CharterError
from troth.specification import tag


def _rows_suffice(scenario: Scenario) -> None:
    rows, count = training_rows(scenario.charter), scenario.parties.count
    partition = scenario.partition
    if rows is None:
        return
    if isinstance(partition, Equal) and rows < count:
        raise CharterError(
            f"is more than the {rows} rows there are, so some party would have no data",
            key="parties.count",
            value=count,
            hint=f"lower parties.count to at most {rows}, or take more data",
        )
    if isinstance(partition, RandomSizes | Dirichlet) and rows < count * partition.minimum:
        raise CharterError(
            f"for {count} parties is more than the {rows} rows there are",
            key="partition.minimum",
            value=partition.minimum,
            hint=f"lower it to at most {rows // count}"
            if rows >= count
            else f"lower parties.count to at most {rows}",
        )
    if isinstance(partition, RandomFraction) and int(partition.fraction * rows) < 1:
        raise CharterError(
            f"of {rows} rows is less than one row",
            key="partition.fraction",
            value=partition.fraction,
            hint=f"raise it to at least {1 / rows:g}",
        )


def _somebody_is_admitted(scenario: Scenario) -> None:
    rows, count = training_rows(scenario.charter), scenario.parties.count
    minimum = scenario.charter.admission.minimum_examples
    if rows is None or not isinstance(scenario.partition, Equal) or -(-rows // count) >= minimum:
        return
    raise CharterError(
        f"keeps everybody out: {rows} rows dealt to {count} parties are {-(-rows // count)} each",
        key="admission.minimum_examples",
        value=minimum,
        hint="lower it, or lower parties.count",
    )


def _labels_exist_to_deal_by(scenario: Scenario) -> None:
    partition, task = scenario.partition, scenario.charter.task
    if not isinstance(partition, ByClass | Dirichlet):
        return
    if task.kind == "regression":
        raise CharterError(
            'deals rows by class, but task.kind = "regression"',
            key="partition.kind",
            value=tag(partition),
            hint='take partition = "equal" or "random_sizes"',
        )
    count = classes(scenario.charter)
    if isinstance(partition, ByClass) and count is not None and partition.classes > count:
        raise CharterError(
            f"is more than the {count} classes there are",
            key="partition.classes",
            value=partition.classes,
            hint=f"lower it to at most {count}",
        )


def _files_match_parties(scenario: Scenario) -> None:
    if not isinstance(scenario.partition, AsGiven):
        return
    data, count = scenario.charter.task.data, scenario.parties.count
    if not isinstance(data, FileData):
        raise CharterError(
            'needs one file per party, but task.data is not source = "files"',
            key="partition.kind",
            value="as_given",
            hint='take partition = "equal", or name the files in task.data.train',
        )
    files = len(data.train) if isinstance(data.train, list) else 1
    if files != count:
        raise CharterError(
            f"is not the number of files in task.data.train, which is {files}",
            key="parties.count",
            value=count,
            hint=f'set parties.count = {files}, or take partition = "equal"',
        )


def _column_exists(scenario: Scenario) -> None:
    data, partition = scenario.charter.task.data, scenario.partition
    if not isinstance(partition, ByColumn) or not isinstance(data, FileData):
        return
    schema = data.schema
    if schema.shape is not None:
        raise CharterError(
            "needs named columns, which arrays do not have",
            key="partition.kind",
            value="by_column",
            hint='take another partition, or "as_given" with one file per party',
        )


def _rows_exist(scenario: Scenario) -> None:
    data, known = scenario.charter.task.data, facts(scenario.charter)
    if not isinstance(data, NamedData) or known is None or data.rows is None:
        return
    if data.rows > known.train_rows:
        raise CharterError(
            f"is above the {known.train_rows} rows of {data.name}",
            key="task.data.rows",
            value=data.rows,
            hint="lower it, or remove it to take them all",
        )


RULES = (
    _rows_exist,
    _rows_suffice,
    _somebody_is_admitted,
    _labels_exist_to_deal_by,
    _files_match_parties,
    _column_exists,
)
