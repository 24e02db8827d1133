"""The HTTP status of each answer.

| status | means                                                                        |
|--------|------------------------------------------------------------------------------|
| 200    | an answer                                                                    |
| 202    | the question is held back, while others catch up, for too long: ask it again |
| 403    | refused, for good                                                            |
| 409    | what came with the question is rejected; whoever asked may go on             |
| 410    | the training is over                                                         |
| 422    | refused; another question might not be                                       |

200, 403, 409, 410 and 422 come with a message of the protocol, whose `status` says which of them:
they are the members of `AnswerStatus`. 202, 400, 404 to 415, 429 and 503 are the server's own and
come with an `error` in JSON (202: with `held`); 202, 429 and 503 say when to try again. 410
is the server's own, too, once the protocol's role has ended.
"""

from __future__ import annotations

from troth.roles.messages import AnswerStatus

HELD = 202

PREFER = "prefer"
"""The header by which whoever asks says for how many seconds it wants its question to be held back
at most: `wait=10` (RFC 7240, section 4.3)."""

TYPED = tuple(AnswerStatus)
"""Statuses that come with a message of the protocol."""
