"""What is known of the named data sets without opening them.

Loading tells the same, but needs the files and a second; a scenario that cannot run should be
refused before that, on any machine. So this module imports nothing numerical. A test compares each
entry with what loading gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from troth.learning.spec import TaskKind


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """A data set before it is loaded, and where it comes from: scikit-learn, unless it says so."""

    train_rows: int
    """Rows to train on, as the loader splits them."""
    test_rows: int
    """Rows to test on, as the loader splits them."""
    shape: tuple[int, ...]
    """Shape of one example, without the rows: (1, 28, 28) for MNIST."""
    classes: int | None = None
    """How many classes the target has; None for regression."""
    source: str = "scikit-learn"
    licence: str = "CC BY 4.0 (UCI)"
    where: str = ""
    """Address of a page from which a person can download it; empty for the sets that come with
    scikit-learn."""

    @property
    def kind(self) -> TaskKind:
        """Whether a class is predicted, or a number."""
        return "regression" if self.classes is None else "classification"

    @property
    def rows(self) -> int:
        """Training and test rows together."""
        return self.train_rows + self.test_rows

    @property
    def features(self) -> int:
        """F, the numbers that one example consists of."""
        return prod(self.shape)


_UCI = "https://archive.ics.uci.edu/dataset"

KNOWN: dict[str, KnownSet] = {
    "digits": KnownSet(train_rows=1_438, test_rows=359, shape=(1, 8, 8), classes=10),
    "breast_cancer": KnownSet(train_rows=455, test_rows=114, shape=(30,), classes=2),
    "diabetes": KnownSet(
        train_rows=354, test_rows=88, shape=(10,), licence="as scikit-learn (BSD-3-Clause)",
    ),
    "wine": KnownSet(train_rows=142, test_rows=36, shape=(13,), classes=3),
    "iris": KnownSet(train_rows=120, test_rows=30, shape=(4,), classes=3),
    "mnist": KnownSet(
        train_rows=60_000, test_rows=10_000, shape=(1, 28, 28), classes=10,
        source="LeCun, Cortes, Burges 1998", licence="commonly given as CC BY-SA 3.0",
        where="https://www.openml.org/d/554",
    ),
    "credit": KnownSet(
        train_rows=21_000, test_rows=9_000, shape=(23,), classes=2,
        source="Yeh, UCI 350", licence="CC BY 4.0",
        where=f"{_UCI}/350/default+of+credit+card+clients",
    ),
    "adult": KnownSet(
        train_rows=32_561, test_rows=16_281, shape=(91,), classes=2,
        source="Becker and Kohavi, UCI 2", licence="CC BY 4.0", where=f"{_UCI}/2/adult",
    ),
    "hospital": KnownSet(
        train_rows=79_311, test_rows=20_032, shape=(166,), classes=2,
        source="Strack et al. 2014, UCI 296", licence="CC BY 4.0",
        where=f"{_UCI}/296/diabetes+130-us+hospitals+for+years+1999-2008",
    ),
    "us-census": KnownSet(
        train_rows=72_509, test_rows=18_127, shape=(51,),
        source="US Census Bureau, ACS PUMS 2018 (stands in for IPUMS)", licence="public domain",
        where="https://www2.census.gov/programs-surveys/acs/data/pums/2018/1-Year/",
    ),
    "svhn": KnownSet(
        train_rows=73_257, test_rows=26_032, shape=(3, 32, 32), classes=10,
        source="Netzer et al. 2011", licence="non-commercial use",
        where="http://ufldl.stanford.edu/housenumbers/",
    ),
}  # fmt: skip
"""In the order in which `troth data list` shows them."""
