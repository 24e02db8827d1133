"""Adult, or census income (Becker and Kohavi, UCI): does a person earn above 50,000 dollars?"""

from __future__ import annotations

import polars as pl

from troth.data.examples import DataSet, Examples
from troth.data.spec import Column, category
from troth.data.tables import TableFile, categories, encode, parse_csv, text

NAMES = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country", "income",
)  # fmt: skip
"""Every column of the files, which have no header."""

MISSING = "?"
_LOG_COLUMNS = ("capital-gain", "capital-loss")
_LOG_MAXIMUM = 11.52
"""Just above ln(1 + 99,999), the cap on capital gain."""


COLUMNS = (
    Column(name="age", minimum=0, maximum=100),
    Column(name="education-num", minimum=1, maximum=16),
    Column(name="capital-gain", minimum=0, maximum=_LOG_MAXIMUM),
    Column(name="capital-loss", minimum=0, maximum=_LOG_MAXIMUM),
    Column(name="hours-per-week", minimum=0, maximum=100),
    category(
        "workclass", "Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc",
        "Self-emp-not-inc", "State-gov", "Without-pay", MISSING,
    ),
    category(
        "marital-status", "Divorced", "Married-AF-spouse", "Married-civ-spouse",
        "Married-spouse-absent", "Never-married", "Separated", "Widowed",
    ),
    category(
        "occupation", "Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial",
        "Farming-fishing", "Handlers-cleaners", "Machine-op-inspct", "Other-service",
        "Priv-house-serv", "Prof-specialty", "Protective-serv", "Sales", "Tech-support",
        "Transport-moving", MISSING,
    ),
    category(
        "relationship", "Husband", "Not-in-family", "Other-relative", "Own-child", "Unmarried",
        "Wife",
    ),
    category(
        "race", "Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White",
    ),
    category("sex", "Female", "Male"),
    category(
        "native-country", "Cambodia", "Canada", "China", "Columbia", "Cuba", "Dominican-Republic",
        "Ecuador", "El-Salvador", "England", "France", "Germany", "Greece", "Guatemala", "Haiti",
        "Holand-Netherlands", "Honduras", "Hong", "Hungary", "India", "Iran", "Ireland", "Italy",
        "Jamaica", "Japan", "Laos", "Mexico", "Nicaragua", "Outlying-US(Guam-USVI-etc)", "Peru",
        "Philippines", "Poland", "Portugal", "Puerto-Rico", "Scotland", "South", "Taiwan",
        "Thailand", "Trinadad&Tobago", "United-States", "Vietnam", "Yugoslavia", MISSING,
    ),
)  # fmt: skip
"""A fixed list of categories: one country occurs in the training file only."""

CLASSES = ("<=50K", ">50K")
_TO_DEAL_BY = ("workclass", "education", "occupation", "race", "sex", "native-country")


def read(training: bytes, testing: bytes) -> DataSet:
    """91 features in [0, 1], by `COLUMNS`; the original split.

    Raises:
      DataError: the content is not the published tables.
    """
    train = _examples(parse_csv(training, "adult/adult.data", NAMES, names=NAMES))
    # The test file begins with a line of its own, and its labels end in a full stop.
    test = _examples(parse_csv(testing, "adult/adult.test", NAMES, names=NAMES, skip_lines=1))
    return DataSet(
        name="adult",
        task="classification",
        train=train,
        test=test,
        features=(train.x_NF.shape[1],),
        classes=CLASSES,
        notes=[
            f"adult: the original files, {len(train)} training and {len(test)} test rows, "
            "not balanced (FDPDDL draws as many rows of each class)",
            f"adult: {train.x_NF.shape[1]} features: numbers scaled to [0, 1] by fixed ranges, "
            "capital gain and loss after ln(1 + x); categories one-hot, a missing one is a "
            "category; fnlwgt (a sampling weight) and education (as education-num) left out",
        ],
    )


def _examples(table: TableFile) -> Examples:
    frame = table.frame.with_columns(pl.all().str.strip_chars()).with_columns(
        pl.col(_LOG_COLUMNS).cast(pl.Float64, strict=False).log1p(),
        pl.col("income").str.strip_suffix("."),
    )
    table = TableFile(frame, table.file)
    x_NF, _ = encode(table, COLUMNS)
    return Examples(
        x_NF=x_NF,
        y_N=categories(table, "income", CLASSES),
        columns={name: text(table, name) for name in _TO_DEAL_BY},
    )
