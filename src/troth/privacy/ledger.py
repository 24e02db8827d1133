"""The privacy ledger of one party: what it has released, to whom, and what it may still release.

The order that keeps it true over a crash, in a role:

1. `ledger = ledger.charged(number, event, views=...)`, which refuses what the budget does not bear;
2. compute the release;
3. save ledger and release together, in one `Save`;
4. send the release.

Stopped before 3, nothing has left and nothing is spent. Stopped after it, the role loads both and
sends the saved release again: it neither pays twice nor makes a second release for one price. A
ledger is immutable, so one that was not saved never was.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from troth.errors import ExitCode, LocalError
from troth.privacy.accounting import Counted, Spent, bears, canonical, most_times, spent
from troth.privacy.events import Event
from troth.privacy.spec import Adjacency, Delta, Unit


class BudgetExhaustedError(LocalError):
    """A release would cost more than the budget has left. It has not been made."""

    exit_code = ExitCode.BUDGET_EXHAUSTED


class Budget(msgspec.Struct, frozen=True):
    """(epsilon, delta) for everything a party ever releases."""

    epsilon: float
    delta: Delta

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and 0 < self.delta < 1):
            raise LocalError(
                f"epsilon={self.epsilon}, delta={self.delta} is no budget: epsilon must be above "
                "0, and delta inside (0, 1)"
            )


class Entry(msgspec.Struct, frozen=True):
    """Equal events that the same views saw."""

    event: Event
    views: tuple[str, ...]
    times: int


class PrivacyLedger(msgspec.Struct, frozen=True):
    """What one party has released. Plain data, for the state that a role saves.

    A *view* is somebody who may look: `broker`, `public`, a peer's id. What is computed from a
    release alone costs nothing more, whoever sees it.

    Args:
      budget: what all views together may learn; None: spending is recorded and never refused.
      last_release: number of the newest release; they ascend, so that none is charged twice.
    """

    unit: Unit
    adjacency: Adjacency
    budget: Budget | None = None
    entries: tuple[Entry, ...] = ()
    last_release: int = 0

    def charged(
        self, release: int, event: Event, *, views: Sequence[str], times: int = 1
    ) -> PrivacyLedger:
        """The ledger after release number `release`, which must not have been made yet.

        Args:
          release: above that of every earlier charge: a round, or a count of updates.
          event: what the mechanism will do, `times` times in this release.
          views: who sees it, at least one.

        Raises:
          BudgetExhaustedError: the budget does not bear it.
          LocalError: `release` was charged already; no views; `times` below 1.
        """
        if release <= self.last_release:
            raise LocalError(
                f"release={release} is not above {self.last_release}, the last one charged",
                hint="send the saved release again; to make it anew is another release",
            )
        if not views or times < 1:
            raise LocalError(f"a release {times} times to {len(views)} views cannot be charged")
        if self.budget is not None:
            self._check_budget(self.budget, release, event, times)
        entries = {(entry.event, entry.views): entry.times for entry in self.entries}
        key = event, tuple(sorted(set(views)))
        entries[key] = entries.get(key, 0) + times
        ordered = sorted(entries.items(), key=lambda item: msgspec.json.encode(item[0]))
        return msgspec.structs.replace(
            self,
            entries=tuple(Entry(event, seen, count) for (event, seen), count in ordered),
            last_release=release,
        )

    def emptied(self) -> PrivacyLedger:
        """The ledger as it was opened."""
        return msgspec.structs.replace(self, entries=(), last_release=0)

    def spent(self, delta: float | None = None, *, view: str | None = None) -> Spent:
        """What has been spent.

        Args:
          delta: absent: the budget's.
          view: what this one alone has seen; None: all views together, colluding.

        Raises:
          LocalError: there is neither a delta nor a budget.
        """
        return spent(self._counted(view), self._delta(delta), self.adjacency)

    def would_spend(self, event: Event, times: int = 1, delta: float | None = None) -> Spent:
        """What all views together would have learnt after `times` more of `event`."""
        after = canonical((*self._counted(), (event, times)))
        return spent(after, self._delta(delta), self.adjacency)

    def releases_left(self, event: Event, *, times: int = 1) -> int:
        """How many more releases of `event`, `times` times each, the budget bears.

        Raises:
          LocalError: there is no budget.
        """
        if self.budget is None:
            raise LocalError("there is no budget, so releases are not limited")
        epsilon, delta = self.budget.epsilon, self.budget.delta
        most = most_times(event, self._others(event), epsilon, delta, self.adjacency)
        return max(0, most - self._times(event)) // times

    def views(self) -> tuple[str, ...]:
        """Everybody who has seen something, in ascending order."""
        return tuple(sorted({view for entry in self.entries for view in entry.views}))

    def _check_budget(self, budget: Budget, release: int, event: Event, times: int) -> None:
        total = self._times(event) + times
        others = self._others(event)
        if bears(event, total, others, budget.epsilon, budget.delta, self.adjacency):
            return
        now, then = self.spent().epsilon, self.would_spend(event, times).epsilon
        raise BudgetExhaustedError(
            f"release {release} would bring epsilon from {now:.4g} to {then:.4g}, above "
            f"epsilon={budget.epsilon:g} at delta={budget.delta:g}; it was not made",
            hint="the party can stop here; more noise from the start would have lasted longer",
        )

    def _others(self, event: Event) -> Counted:
        return tuple(pair for pair in self._counted() if pair[0] != event)

    def _times(self, event: Event) -> int:
        return sum(entry.times for entry in self.entries if entry.event == event)

    def _counted(self, view: str | None = None) -> Counted:
        return canonical(
            (entry.event, entry.times)
            for entry in self.entries
            if view is None or view in entry.views
        )

    def _delta(self, delta: float | None) -> float:
        if delta is not None:
            return delta
        if self.budget is None:
            raise LocalError("delta is missing, and there is no budget to take it from")
        return self.budget.delta
