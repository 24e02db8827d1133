"""What server and parties of `federated` say to each other."""

from __future__ import annotations

from troth.roles.messages import RoundMessage, protocol_messages
from troth.wire import Channel, Float32s


class TrainRequest(RoundMessage, frozen=True):
    """Server to party: train from this model. Asked again, a party answers with the same update."""

    channel = Channel.AUTHENTICATED

    params_D: Float32s


class Update(RoundMessage, frozen=True):
    """Party to server: a gradient or a change of the model, as `Training.update` says.

    `examples` is the party's own claim. A server that weighs by it trusts it, up to `MAX_EXAMPLES`.
    """

    channel = Channel.CONFIDENTIAL

    update_D: Float32s
    examples: int


class Finished(RoundMessage, frozen=True):
    """Server to party: training is over after this round; this is the model."""

    channel = Channel.BROADCAST

    params_D: Float32s


MESSAGES = protocol_messages(TrainRequest, Update, Finished)
