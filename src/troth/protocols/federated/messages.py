"""What server and parties of `federated` say to each other."""

from __future__ import annotations

from troth.roles.messages import RoundMessage
from troth.wire import Float32s


class TrainRequest(RoundMessage, frozen=True):
    """Server to party: train from this model. Asked again, a party answers with the same update."""

    params_D: Float32s


class Update(RoundMessage, frozen=True):
    """Party to server: a gradient or a change of the model, as `Training.update` says.

    `examples` is the party's own claim. A server that weighs by it trusts it, up to `MAX_EXAMPLES`.
    """

    update_D: Float32s
    examples: int


class Finished(RoundMessage, frozen=True):
    """Server to party: training is over after this round; this is the model."""

    params_D: Float32s


MESSAGES = (TrainRequest, Update, Finished)
