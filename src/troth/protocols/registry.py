"""The protocols that come with Troth, in the order in which texts list them."""

from __future__ import annotations

from typing import Any

from troth.protocols.biscotti.protocol import PROTOCOL as BISCOTTI
from troth.protocols.centralised.protocol import PROTOCOL as CENTRALISED
from troth.protocols.dssgd.protocol import PROTOCOL as DSSGD
from troth.protocols.federated.protocol import PROTOCOL as FEDERATED
from troth.protocols.protocol import Protocol
from troth.protocols.standalone.protocol import PROTOCOL as STANDALONE
from troth.protocols.tormentor.protocol import PROTOCOL as TORMENTOR

PROTOCOLS: tuple[Protocol[Any], ...] = (
    FEDERATED,
    DSSGD,
    CENTRALISED,
    STANDALONE,
    TORMENTOR,
    BISCOTTI,
)
