"""Aggregators that lie about what they hold (step 7 of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Iterable

from troth.attacks.biscotti.malice import Malice, altered, more_by_one, sending
from troth.protocols.biscotti.messages import SumSet, SumShare
from troth.protocols.biscotti.texts import SUM_SHARE, set_digest, sum_text
from troth.roles.effects import Send


def _wrong_sum(malice: Malice, effect: Send) -> Iterable[Send]:
    message, agreed = effect.message, malice.last(SumSet)
    assert isinstance(message, SumShare)
    share = more_by_one(message.share)
    text = sum_text(malice.context, set_digest(agreed), share)
    yield Send(effect.to, altered(message, share=share, signature=malice.sign(SUM_SHARE, text)))


wrong_sum = sending(SumShare, _wrong_sum)
"""Answers with a sum of shares that is off by one, and signs it."""
