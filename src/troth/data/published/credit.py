"""Default of credit card clients (Yeh, UCI): will the client pay next month?"""

from __future__ import annotations

import numpy as np

from troth.data.examples import DataSet, Examples
from troth.data.spec import Column
from troth.data.split import fixed_split
from troth.data.tables import categories, encode, parse_csv

TEST_SHARE = 0.3
"""The 70/30 split of TorMentor (section 6) and Biscotti (table 2): 21,000 and 9,000 rows."""

_MONTHS = (1, 2, 3, 4, 5, 6)
COLUMNS = (
    Column(name="LIMIT_BAL", minimum=0, maximum=1_000_000),
    Column(name="SEX", minimum=1, maximum=2),
    Column(name="EDUCATION", minimum=0, maximum=6),
    Column(name="MARRIAGE", minimum=0, maximum=3),
    Column(name="AGE", minimum=18, maximum=100),
    *(Column(name=f"PAY_{month}", minimum=-2, maximum=9) for month in (0, 2, 3, 4, 5, 6)),
    *(Column(name=f"BILL_AMT{month}", minimum=-400_000, maximum=1_700_000) for month in _MONTHS),
    *(Column(name=f"PAY_AMT{month}", minimum=0, maximum=1_700_000) for month in _MONTHS),
)
"""The 23 attributes, in the file's order, with the ranges that scale them. Codes stay numbers, as
in the papers: one weight per attribute. The 24th `feature` of the papers' pre-split files is a
copy of the label, and is not here."""
TARGET = "default payment next month"


def read(clients: bytes) -> DataSet:
    """23 features in [0, 1]; a fixed split.

    Raises:
      DataError: the content is not the published table.
    """
    names = [column.name for column in COLUMNS]
    # The file has two header rows; the second one holds the names.
    table = parse_csv(clients, "credit_default", [*names, TARGET], skip_lines=1)
    x_NF, _ = encode(table, COLUMNS)
    rows = Examples(
        x_NF=x_NF,
        y_N=categories(table, TARGET, ("0", "1")),
        columns={
            "SEX": table.frame["SEX"].cast(int).to_numpy(),
            "EDUCATION": table.frame["EDUCATION"].cast(int).to_numpy(),
            "MARRIAGE": table.frame["MARRIAGE"].cast(int).to_numpy(),
        },
    )
    train, test = fixed_split(rows, TEST_SHARE, "credit")
    defaults = float(np.mean(train.y_N))
    return DataSet(
        name="credit",
        task="classification",
        train=train,
        test=test,
        features=(len(COLUMNS),),
        classes=("pays", "defaults"),
        notes=[
            f"credit: a fixed split of {len(train)} training and {len(test)} test rows (70/30); "
            f"{defaults:.1%} of the training rows default, so always saying `pays` errs that often",
            "credit: 23 attributes scaled to [0, 1] by fixed ranges; the papers' 24th feature, a "
            "copy of the label, is left out, so compare trends with theirs, not absolute errors",
        ],
    )
