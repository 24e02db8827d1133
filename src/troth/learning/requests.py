"""The learning requests that roles hand to the engine."""

from troth.learning.evaluation import Evaluate, EvaluateParties, PartyMetrics
from troth.learning.local import LocalResult, LocalUpdate

__all__ = ["Evaluate", "EvaluateParties", "LocalResult", "LocalUpdate", "PartyMetrics"]
