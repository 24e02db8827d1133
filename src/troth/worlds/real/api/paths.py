"""Where each question of a protocol is asked.

| request                               | asks                                       |
|---------------------------------------|--------------------------------------------|
| `POST /v1/models/MODEL_ID/ACTION`     | the question that is in the body           |
| `GET /v1/models/MODEL_ID`             | how far the training is (`Face.status`)    |
| `GET /v1/models/MODEL_ID/charter`     | the charter whose digest is the model's id |
| `GET /openapi.json`, `GET /`          | how all this is used                       |
"""

from __future__ import annotations

from typing import NamedTuple

from troth.roles.messages import Question

OPENAPI = "/openapi.json"
PAGE = "/"
MODEL = "/v1/models/{model_id}"
CHARTER = MODEL + "/charter"

_BEFORE = MODEL.split("/")[:3]

MODEL_ID_PATTERN = "^sha256:[0-9a-f]{64}$"


def action(kind: type[Question]) -> str:
    """The last part of the path at which questions of this class are asked."""
    return kind.action or kind.__name__.lower()


class Asked(NamedTuple):
    """What the path of a question says."""

    model_id: str
    action: str


def split(path: str) -> Asked | None:
    """What `path` says, if a question could be asked there; the inverse of `path_of`."""
    parts = path.split("/")
    if len(parts) != 5 or parts[:3] != _BEFORE or not parts[3]:
        return None
    return Asked(parts[3], parts[4])


def path_of(question: Question) -> str:
    """The path at which this question is asked."""
    return f"{MODEL.format(model_id=question.model_id)}/{action(type(question))}"
