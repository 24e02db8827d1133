"""Where a broker is, who it is, and what it trains: `https://KEY@HOST:PORT/MODEL_ID`.

Whoever is given an address needs nothing else to join, and can be fooled by nobody on the way: the
key is the broker's Ed25519 public key, and the model's id is the digest of its charter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from troth.crypto.identity import PublicId, parse_public_id
from troth.errors import UsageError
from troth.worlds.real.api.paths import MODEL_ID_PATTERN

SCHEME = "https"
FORM = f"{SCHEME}://KEY@HOST:PORT/MODEL_ID"
MAX_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class Address:
    """The address of a broker.

    `str` of it is `https://KEY@HOST:PORT/MODEL_ID`.
    """

    public: PublicId
    host: str
    port: int
    model_id: str | None = None
    """The digest of the charter; None while the broker has none, since its curator brings it."""

    @property
    def url(self) -> str:
        """Where to connect to: `https://HOST:PORT`, without the key and the model."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}://{host}:{self.port}"

    def __str__(self) -> str:
        url = self.url.replace("://", f"://{self.public}@")
        return url if self.model_id is None else f"{url}/{self.model_id}"


def parse_address(text: str) -> Address:
    """Read a broker's address; the inverse of `str`.

    Raises:
      UsageError: `text` is not of the form of one, or lacks the key: nothing is ever sent without
        TLS, or to a broker that cannot prove who it is.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _no_address(text, "is no URL") from None
    if parts.scheme != SCHEME or parts.query or parts.fragment or parts.password is not None:
        raise _no_address(text, f"is not of the form {FORM}")
    if not parts.hostname or not port:
        raise _no_address(text, "lacks the broker's host or port")
    public = parts.username or ""
    if parse_public_id(public) is None:
        raise _no_address(text, "lacks the broker's key, 64 hexadecimal digits before the @")
    model_id = parts.path.strip("/") or None
    if model_id is not None and not re.fullmatch(MODEL_ID_PATTERN.strip("^$"), model_id):
        raise _no_address(text, "names no model: its id is sha256: and 64 hexadecimal digits")
    return Address(PublicId(public), parts.hostname, port, model_id)


def _no_address(text: str, problem: str) -> UsageError:
    shown = ascii(text[:MAX_SHOWN_CHARACTERS])
    return UsageError(
        f"{shown} {problem}",
        hint=f"a broker's address is {FORM}, as the broker says it when it starts",
    )
