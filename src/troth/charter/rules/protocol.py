"""Protocol and training fit each other."""

from __future__ import annotations

from troth.charter.charter import Charter
from troth.errors import CharterError
from troth.protocols.dssgd.parameters import DSSGD


def _somebody_applies_the_gradient(charter: Charter) -> None:
    if charter.training.update == "gradient" and isinstance(charter.protocol, DSSGD):
        raise CharterError(
            'does not go with protocol = "dssgd", whose parties upload changes of the model',
            key="training.update",
            value="gradient",
            hint='set update = "delta"',
        )


def _threshold_belongs_to_random_selection(charter: Charter) -> None:
    protocol = charter.protocol
    default = DSSGD().threshold
    if (
        isinstance(protocol, DSSGD)
        and protocol.selection == "largest"
        and protocol.threshold != default
    ):
        raise CharterError(
            'has no effect with selection = "largest"',
            key="protocol.threshold",
            value=protocol.threshold,
            hint='set selection = "random", or remove threshold',
        )


RULES = (_somebody_applies_the_gradient, _threshold_belongs_to_random_selection)
