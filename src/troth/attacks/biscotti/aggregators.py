"""Aggregators that lie about what they hold (step 7 of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Iterable

from troth.attacks.biscotti.malice import Malice, Receivers, altered, more_by_one, sending
from troth.protocols.biscotti.messages import SumSet, SumShare
from troth.protocols.biscotti.texts import SUM_SHARE, set_digest, sum_text
from troth.roles.effects import Send


@sending(SumShare)
def wrong_sum(malice: Malice, to: Receivers, honest: SumShare) -> Iterable[Send]:
    """Answers with a sum of shares that is off by one, and signs it."""
    share = more_by_one(honest.share)
    text = sum_text(malice.context, set_digest(malice.last(SumSet)), share)
    yield Send(to, altered(honest, share=share, signature=malice.sign(SUM_SHARE, text)))
