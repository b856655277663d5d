"""Scores, rankings and events for an AutoAssign+ pipeline."""

from .events import EventSchema, MissingDependency, NotDelivered, Producer
from .ids import Id, decode_id, encode_id
from .scorer import Explanation, Ranking, Refused, ScorerClient, ScorerError, Scores, Unreachable

__all__ = [
    "EventSchema", "Explanation", "Id", "MissingDependency", "NotDelivered", "Producer", "Ranking", "Refused",
    "ScorerClient", "ScorerError", "Scores", "Unreachable", "decode_id", "encode_id",
]
__version__ = "0.1.0"
