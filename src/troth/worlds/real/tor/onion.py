"""Onion addresses of version 3, and the rule that they are reached through Tor and nothing else is.

An onion address is a public key (rend-spec-v3, section 6): whoever answers at it holds the secret
half, and no name server and no certificate authority is asked.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NewType
from urllib.parse import urlsplit

from troth.errors import UsageError

OnionAddress = NewType("OnionAddress", str)
"""56 base32 characters in lower case, and `.onion`."""

SUFFIX = ".onion"
VIRTUAL_PORT = 443
"""The port of an onion service that Troth publishes; `https://ADDRESS` needs no other."""

_VERSION = b"\x03"
_LABEL = re.compile(r"[a-z2-7]{56}")


def parse_onion_address(host: str) -> OnionAddress | None:
    """The onion address that `host` is; None where it is none of version 3, or is misspelt."""
    label = host.removesuffix(SUFFIX)
    if label == host or not _LABEL.fullmatch(label):
        return None
    raw = base64.b32decode(label.upper())
    public, checksum, version = raw[:32], raw[32:34], raw[34:]
    expected = hashlib.sha3_256(b".onion checksum" + public + version).digest()[:2]
    return OnionAddress(host) if (checksum, version) == (expected, _VERSION) else None


def check_transport(url: str, *, tor: bool) -> OnionAddress | None:
    """Check that `url` is reached in the way that was asked for; the onion address in it.

    Returns:
      None where Tor was not asked for.

    Args:
      tor: whether Tor was asked for.

    Raises:
      UsageError: Tor was asked for and `url` leads elsewhere, or the other way round. Nothing is
        ever sent another way than was asked for.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not tor:
        if host.endswith(SUFFIX):
            raise UsageError(
                f"{url} is an onion address, which only Tor reaches",
                hint="add --tor, or --tor-socks HOST:PORT for a Tor that runs already",
            )
        return None
    if parts.scheme != "https":
        raise UsageError(
            f"{url} is not of the form https://ADDRESS.onion",
            hint="nodes speak to each other over TLS, inside of Tor too",
        )
    address = parse_onion_address(host)
    if address is None:
        misspelt = host.endswith(SUFFIX)
        raise UsageError(
            f"{url} is not an onion address of version 3"
            + (": its checksum or length is wrong" if misspelt else ""),
            hint="compare it with what the broker printed"
            if misspelt
            else "with Tor, only onion addresses are connected to; leave --tor out for others",
        )
    return address
