"""What a broker waits for, in words.

Without a deadline in its charter it waits as long as it takes, and whoever runs it should not have
to guess.
"""

from __future__ import annotations

from troth.protocols.tormentor.state import BrokerState

MAX_NAMED = 5
"""How many providers are named."""


def awaited(state: BrokerState, providers: int) -> str:
    """What has to come before anything goes on.

    Args:
      providers: how many have to join before training starts.
    """
    here = len(state.connections)
    if state.finished:
        if state.delivered:
            return "for providers to hear that the training is over"
        return "for the curator to fetch the model"
    if not state.started:
        return f"for {providers - here} more providers to join: {here} of {providers} are here"
    if not here:
        return "for a provider to join: all have left"
    behind = sorted(each.name for each in state.connections.values() if not each.waits)
    named = ", ".join(behind[:MAX_NAMED]) + (" and others" if len(behind) > MAX_NAMED else "")
    return f"for the next update of {len(behind)} of {here} providers: {named}"
