"""Finding who is wrong among many, when only whole groups are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Claim = TypeVar("Claim")


def wrong_claims(claims: Sequence[Claim], holds: Callable[[Sequence[Claim]], bool]) -> list[Claim]:
    """The claims that do not hold, by halving; one check if all do, and none if there are none.

    Args:
      holds: whether all of a nonempty group hold; if not, it says so but with the probability that
        the caller accepts. c wrong claims among n take up to about 2 c log2 n checks.
    """
    if not claims or holds(claims):
        return []
    if len(claims) == 1:
        return list(claims)
    half = len(claims) // 2
    return wrong_claims(claims[:half], holds) + wrong_claims(claims[half:], holds)
