"""The HTTP status of each answer.

| status | means                                                                             |
|--------|-----------------------------------------------------------------------------------|
| 200    | an answer                                                                         |
| 202    | the question is held back, while others catch up, for too long: ask it again       |
| 403    | refused, for good                                                                 |
| 409    | the update is rejected; the connection goes on, with the puzzle that comes with it |
| 410    | the training is over                                                              |
| 422    | refused; another question might not be                                            |

403, 409, 410 and 422 come with the typed message. 400, 404 to 415, 429 and 503 are the server's own
and come with an `error` in JSON; 429 and 503 say when to try again.
"""

from __future__ import annotations

from troth.protocols.tormentor.messages import Finished, Refused
from troth.wire import Message

ANSWERED = 200
HELD = 202
FOR_GOOD = 403
REJECTED = 409
OVER = 410
UNPROCESSABLE = 422

TYPED = (ANSWERED, FOR_GOOD, REJECTED, OVER, UNPROCESSABLE)
"""Statuses that come with a message of the protocol."""


def status_of(answer: Message) -> int:
    """The status that this message is sent with."""
    match answer:
        case Refused(puzzle=puzzle, final=final):
            if puzzle is not None:
                return REJECTED
            return FOR_GOOD if final else UNPROCESSABLE
        case Finished():
            return OVER
    return ANSWERED
