"""Where each question of the protocol is asked.

| request                               | asks                                       |
|---------------------------------------|--------------------------------------------|
| `POST /v1/models/MODEL_ID/ACTION`     | the question that is in the body           |
| `GET /v1/models/MODEL_ID`             | `Status`                                   |
| `GET /v1/models/MODEL_ID/charter`     | the charter whose digest is the model's id |
| `GET /openapi.json`, `GET /`          | how all this is used                       |
"""

from __future__ import annotations

from troth.protocols.tormentor.messages import QUESTIONS, Question

OPENAPI = "/openapi.json"
PAGE = "/"
MODEL = "/v1/models/{model_id}"
CHARTER = MODEL + "/charter"

MODEL_ID_PATTERN = "^sha256:[0-9a-f]{64}$"


def action(kind: type[Question]) -> str:
    """`join` for `Join`, `update` for `GradientUpdate`."""
    return kind.__name__.removeprefix("Gradient").lower()


ACTIONS: dict[str, type[Question]] = {action(kind): kind for kind in QUESTIONS}
"""What may be asked, by the last part of its path."""


def path_of(question: Question) -> str:
    """Where this question is asked."""
    return f"{MODEL.format(model_id=question.model_id)}/{action(type(question))}"
