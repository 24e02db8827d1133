"""The learning requests that roles hand to the engine."""

from troth.learning.evaluation import Evaluate, EvaluateParties, PartyMetrics
from troth.learning.local import LocalUpdate
from troth.learning.results import LocalResult

__all__ = ["Evaluate", "EvaluateParties", "LocalResult", "LocalUpdate", "PartyMetrics"]
