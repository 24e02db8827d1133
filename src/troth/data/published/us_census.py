"""US census: persons of the American Community Survey 2018 (PUMS), and their income.

Stands in for the IPUMS "US" extract of SecProbe (section VI-A), which its terms do not let anyone
pass on: the same kind of record, another year, fewer rows.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from troth.data.examples import DataSet, Examples
from troth.data.spec import Column, category
from troth.data.split import fixed_split
from troth.data.tables import TableFile, encode, numbers, parse_csv, text

TEST_SHARE = 0.2
MAXIMUM_INCOME = 1_200_000.0
"""Dollars a year: above the survey's top code."""


COLUMNS = (
    Column(name="AGEP", minimum=0, maximum=99),
    Column(name="SCHL", minimum=1, maximum=24),
    Column(name="WKHP", minimum=0, maximum=99),
    category("WKW", "1", "2", "3", "4", "5", "6"),
    category("SEX", "1", "2"),
    category("MAR", "1", "2", "3", "4", "5"),
    category("RAC1P", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    category("HISPANIC", "no", "yes"),
    category("NATIVITY", "1", "2"),
    category("DIS", "1", "2"),
    category("PRIVCOV", "1", "2"),
    category("ESR", "1", "2", "3", "4", "5", "6"),
    category("COW", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    category("SCIENGP", "none", "1", "2"),
)
"""Codes as in the Bureau's dictionary; SCHL, years of schooling by grade, is in order and stays a
number. Nothing here is part of PINCP or derived from income (WAGP, PERNP, INTP, SSP, POVPIP)."""

_READ = ("HISP", "PINCP", "ST")
_DERIVED = ("HISPANIC",)


def read(persons: bytes) -> DataSet:
    """Features in [0, 1]; target ln(PINCP) / ln(1,200,000); a fixed split.

    Raises:
      DataError: the content is not the published table.
    """
    wanted = [column.name for column in COLUMNS if column.name not in _DERIVED]
    table = parse_csv(persons, "us_census_pums2018/psam_persons", [*wanted, *_READ])
    number = {
        name: pl.col(name).cast(pl.Float64, strict=False) for name in ("AGEP", "PINCP", "WKHP")
    }
    workers = table.frame.filter(
        (number["AGEP"] > 16) & (number["PINCP"] > 100) & (number["WKHP"] > 0)
    ).with_columns(
        pl.when(pl.col("HISP") == "01")
        .then(pl.lit("no"))
        .otherwise(pl.lit("yes"))
        .alias("HISPANIC"),
        pl.col("SCIENGP").fill_null("none"),
    )
    kept = TableFile(workers, table.file)
    x_NF, names = encode(kept, COLUMNS)
    income_N = numbers(kept, "PINCP", 100, MAXIMUM_INCOME)
    rows = Examples(
        x_NF=x_NF,
        y_N=(np.log(income_N) / math.log(MAXIMUM_INCOME)).astype(np.float32),
        columns={"ST": text(kept, "ST")},
    )
    train, test = fixed_split(rows, TEST_SHARE, "us-census")
    return DataSet(
        name="us-census",
        task="regression",
        train=train,
        test=test,
        features=(len(names),),
        target_floor=0.01,
        notes=[
            "us-census: ACS PUMS 2018, 14 states: a substitute for SecProbe's IPUMS extract, so "
            "its absolute errors are not comparable with the paper's",
            f"us-census: {len(kept)} of {len(table)} persons have AGEP > 16, PINCP > 100 and "
            f"WKHP > 0; a fixed split of {len(train)} training and {len(test)} test rows",
            "us-census: the target is ln(PINCP) / ln(1,200,000), in [0.3, 1]; the error is the "
            "mean relative error of that, as SecProbe takes logarithms before scaling",
            f"us-census: {len(names)} features: numbers scaled to [0, 1] by fixed ranges, "
            "categories one-hot; parts of the income, what is derived from it, and the state are "
            "left out; rows are unweighted and represent no state",
        ],
    )
