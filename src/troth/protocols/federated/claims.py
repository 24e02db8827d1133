"""What `federated` promises under faults, as a function that checks what its server reported."""

from __future__ import annotations

from collections.abc import Sequence

from troth.protocols.federated import steps
from troth.protocols.federated.roles import SERVER, Plan
from troth.roles.effects import Report
from troth.streams import Stream


def check(reports: Sequence[Report], plan: Plan, learning: Stream) -> None:
    """Raise `AssertionError` if the reports of a run break one of these promises.

    - Rounds are reported once each, in order, whatever crashed in between.
    - In every round each party that was asked is accepted, rejected or missing, and nobody else is.
    - No round is closed with fewer usable updates than `at_least`.

    Args:
      reports: what the server reported, in order.
      learning: the run's `learning` stream, which draws who is asked.
    """
    stream = learning.child("node", SERVER)
    assert [report.round for report in reports] == list(range(1, len(reports) + 1))
    for report in reports:
        asked = steps.choose_parties(
            plan.parties, plan.parameters.participation, report.round, stream
        )
        unusable = [r.node for r in report.rejected if not r.reason.startswith("not selected")]
        unselected = [r.node for r in report.rejected if r.reason.startswith("not selected")]
        accounted = sorted([*report.accepted, *unusable, *unselected, *report.missing])
        assert accounted == list(asked), f"round {report.round}: {accounted} instead of {asked}"
        enough = plan.parameters.at_least or (1 if plan.parameters.deadline_s else len(asked))
        assert len(report.accepted) + len(unselected) >= enough
