"""Digests as they stand in messages and records: SHA-256, 32 bytes."""

from __future__ import annotations

from typing import Annotated

import msgspec

DIGEST_BYTES = 32

Digest = Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
