"""What a broker of TorMentor shows to strangers, and what can be had of it outside of any role."""

from __future__ import annotations

from troth.protocols.tormentor.messages import (
    MAX_REASON,
    MESSAGES,
    Curate,
    Progress,
    Refused,
    Status,
)
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.face import Deploying, Face
from troth.worlds.real.api.fetch import fetch_answer
from troth.worlds.real.limits import Limits
from troth.worlds.real.tor.socks import Socks

CURATE_BYTES = 64 * 2**20
"""The largest charter with its validation set, in bytes, that a broker takes. Before that it knows
no model, so that no other bound holds."""


def _refuse(curate: Curate, reason: str) -> Refused:
    return Refused(curate.model_id.encode(), reason[:MAX_REASON], final=True)


FACE = Face(
    title="Troth broker",
    purpose="Trains one model and is then gone.",
    messages=MESSAGES,
    status=Status,
    deploying=Deploying(Curate, CURATE_BYTES, _refuse),
    rejected="Rejected; the connection goes on, with the puzzle that comes with it.",
)


async def fetch_status(
    address: Address, *, socks: Socks | None = None, limits: Limits | None = None
) -> Progress:
    """How far the training of the broker at `address` is.

    Raises:
      UsageError: the address names no model.
      VerificationError: whoever answers is not the broker.
      UnreachableError: nobody answers.
      RoundFailedError: the broker has no such model, or its training is over.
    """
    progress = await fetch_answer(FACE, address, socks=socks, limits=limits)
    assert isinstance(progress, Progress)
    return progress
