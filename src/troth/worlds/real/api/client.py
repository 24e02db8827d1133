"""The HTTP client of somebody without a name.

It speaks to one broker, whose key it knows, waits for bounded times only, and sends no headers that
tell who it is.
"""

from __future__ import annotations

import httpx
import msgspec

from troth.errors import VerificationError
from troth.wire import shown
from troth.worlds.real.answers import is_unproven
from troth.worlds.real.api.address import Address
from troth.worlds.real.limits import Limits
from troth.worlds.real.tls import stranger_context
from troth.worlds.real.tor.socks import Socks
from troth.worlds.real.tor.transport import TorTransport

CONNECT_S = 30.0
"""Seconds that connecting may take; by Tor, the first time, it takes a while. Half of what a broker
may be silent for, so that there is time for another attempt."""

ANSWER_MARGIN_S = 10.0
"""Seconds that an answer may take beyond the time that a broker may hold the question."""

MAX_ERROR_BYTES = 4096
"""How much is read of a body that says only why there is no answer."""


def make_client(address: Address, limits: Limits, socks: Socks | None) -> httpx.AsyncClient:
    """A client that speaks to the broker at `address` only.

    Args:
      socks: the SOCKS port of a tor that it goes through; None: straight.
    """
    tls = stranger_context(address.public)
    client = httpx.AsyncClient(
        base_url=address.url,
        verify=tls,
        transport=None if socks is None else TorTransport(socks, tls),
        # Neither proxies nor anything else of the environment: it could lead elsewhere.
        trust_env=False,
        headers={"accept-encoding": "identity"},
        timeout=httpx.Timeout(
            limits.body_s,
            connect=CONNECT_S,
            read=limits.longest_hold_s + ANSWER_MARGIN_S,
            pool=None,
        ),
    )
    del client.headers["user-agent"]
    return client


def reason_in(answer: httpx.Response, body: bytes) -> str:
    """Why the broker did not take a question, in its own words, made safe to be shown; its status
    where it says nothing."""
    try:
        said = msgspec.json.decode(body[:MAX_ERROR_BYTES], type=dict[str, str])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        said = {}
    return shown(Exception(said.get("error", f"answered {answer.status_code}")))


def check_proof(error: BaseException, address: Address) -> None:
    """Check that a connection did not fail because somebody else is at the broker's address.

    Raises:
      VerificationError: whoever answers does not hold the key in the address.
    """
    if is_unproven(error):
        raise VerificationError(
            f"whoever answers at {address.url} cannot prove to be the broker",
            hint="see that the key in the broker's address is the right one",
        ) from None
