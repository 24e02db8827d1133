"""What is known of the named data sets without opening them.

Loading tells the same, but needs the files and a second; a scenario that cannot run should be
refused before that, on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Facts:
    """A data set before it is loaded."""

    kind: Literal["classification", "regression"]
    train_rows: int
    """Rows to train on, as the loader splits them."""
    shape: tuple[int, ...]
    """Shape of an example."""
    classes: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether an example is an image, as a convolution needs."""
        return len(self.shape) == 3


FACTS: dict[str, Facts] = {
    "digits": Facts("classification", 1_438, classes=10, shape=(1, 8, 8)),
    "breast_cancer": Facts("classification", 455, classes=2, shape=(30,)),
    "diabetes": Facts("regression", 354, shape=(10,)),
    "wine": Facts("classification", 142, classes=3, shape=(13,)),
    "iris": Facts("classification", 120, classes=3, shape=(4,)),
    "mnist": Facts("classification", 60_000, classes=10, shape=(1, 28, 28)),
    "credit": Facts("classification", 21_000, classes=2, shape=(23,)),
    "adult": Facts("classification", 32_561, classes=2, shape=(91,)),
    "hospital": Facts("classification", 79_311, classes=2, shape=(166,)),
    "us-census": Facts("regression", 72_509, shape=(51,)),
    "svhn": Facts("classification", 73_257, classes=10, shape=(3, 32, 32)),
}
