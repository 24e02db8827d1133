"""What a charter with `dssgd` must hold beyond single keys."""

from __future__ import annotations

from troth.errors import CharterError
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.protocol import CharterTables


def somebody_applies_the_gradient(charter_tables: CharterTables[DSSGD]) -> None:
    """Refuse `training.update = "gradient"`: parties upload changes of the model.

    Raises:
      CharterError: the training's updates are gradients.
    """
    if charter_tables.training.update == "gradient":
        raise CharterError(
            'does not go with protocol = "dssgd", whose parties upload changes of the model',
            key="training.update",
            value="gradient",
            hint='set update = "delta"',
        )


def threshold_belongs_to_random_selection(charter_tables: CharterTables[DSSGD]) -> None:
    """Refuse a threshold that nothing is compared with.

    Raises:
      CharterError: `threshold` is set, and `selection` is "largest".
    """
    protocol = charter_tables.parameters
    if protocol.selection == "largest" and protocol.threshold != DSSGD().threshold:
        raise CharterError(
            'has no effect with selection = "largest"',
            key="protocol.threshold",
            value=protocol.threshold,
            hint='set selection = "random", or remove threshold',
        )
