"""What server and parties of `dssgd` say to each other."""

from __future__ import annotations

from troth.roles.messages import RoundMessage, protocol_messages
from troth.wire import Channel, Float32s, Message, UInt32s


class Download(Message, frozen=True):
    """Party to server: which parameters should I take over?"""

    channel = Channel.AUTHENTICATED


class Parameters(RoundMessage, frozen=True):
    """Server to party: the theta_d * D most updated parameters, for the party's turn `round`.

    With theta_d = 1 `indices` is empty and `values` holds all D.
    """

    channel = Channel.AUTHENTICATED

    indices: UInt32s
    values: Float32s


class Upload(RoundMessage, frozen=True):
    """Party to server: the selected part of its change of the model, for turn `round`."""

    channel = Channel.CONFIDENTIAL

    indices: UInt32s
    values: Float32s


class Acknowledged(RoundMessage, frozen=True):
    """Server to party: turn `round` is applied (or was before)."""

    channel = Channel.AUTHENTICATED


class Finished(RoundMessage, frozen=True):
    """Server to party: training is over after this round; this is the model."""

    channel = Channel.BROADCAST

    params_D: Float32s


MESSAGES = protocol_messages(Download, Parameters, Upload, Acknowledged, Finished)
