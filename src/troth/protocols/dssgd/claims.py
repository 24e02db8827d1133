"""What `dssgd` promises under faults, as a function that checks what its server reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from troth.protocols.dssgd.roles import Plan
from troth.roles.effects import Report


def check(reports: Sequence[Report], plan: Plan) -> None:
    """Raise `AssertionError` if the reports of a run, in order, break one of these promises.

    - Rounds are reported once each, in order, whatever crashed in between.
    - `round_robin`: each party has exactly one turn a round, uploaded, refused or missed.
    - `asynchronous`: a round is as many applied uploads as there are parties.
    """
    assert [report.round for report in reports] == list(range(1, len(reports) + 1))
    for report in reports:
        turns = Counter([*report.accepted, *report.missing, *(r.node for r in report.rejected)])
        if plan.parameters.order == "round_robin":
            assert turns == Counter(plan.parties), f"round {report.round}: {turns}"
        else:
            assert len(report.accepted) == len(plan.parties)
