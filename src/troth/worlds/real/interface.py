"""What hub and spoke call things: paths, parameters and headers of the HTTP interface.

| request                             | means                                                  |
|-------------------------------------|--------------------------------------------------------|
| `PUT /v1/inbox/NUMBER?previous=NUMBER` | here is my next message, in the body                |
| `GET /v1/outbox?wait_ms=NUMBER`     | your next message to me, as soon as there is one       |
| `GET /v1/link`                      | nothing but what the headers say                       |

Every request and every answer tells in two headers how far its sender has heard the other side
(see `link`). A message comes as 200 with its number in a header; 204 says that there is none, or
nothing more to say. Refusals carry their reason as plain text:

400 malformed, 403 no peer, 408 too slow, 409 replayed, out of order, or asked twice at once,
410 who asks holds messages that this node knows nothing of, or another process of it has come
since, 411 without a length, 412 another charter than that in the request, 413 too large, 429 too
much at once.
"""

from __future__ import annotations

INBOX = "/v1/inbox"
OUTBOX = "/v1/outbox"
LINK = "/v1/link"

PREVIOUS = "previous"
WAIT_MS = "wait_ms"

NUMBER_HEADER = "troth-number"
CHARTER_HEADER = "troth-charter"
"""The digest of the charter that whoever asks runs; another one than ours is refused (412)."""
PROCESS_HEADER = "troth-process"
"""Drawn by whoever asks when it starts: tells a node's processes apart."""
RECEIVED_HEADER = "troth-received"
DURABLE_HEADER = "troth-durable"
