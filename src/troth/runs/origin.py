"""What a run came from: its scenario, data and code, by digest.

A run that goes on with other data or code than it began with would end with a model that nothing
can repeat, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from troth.errors import VerificationError
from troth.ids import NodeId
from troth.learning.workbench import Workbench
from troth.references import code_beside
from troth.wire import Int64s
from troth.worlds.dealing import Dealt


class Origin(msgspec.Struct, frozen=True):
    """What a run came from."""

    scenario: str
    """Of the scenario's text."""
    data: str
    """Of all rows on the bench, and of who holds which."""
    code: dict[str, str]
    """Of each module that was loaded from beside the scenario."""

    def digest(self) -> str:
        """Of all of it."""
        return sha256(msgspec.json.encode(self)).hexdigest()

    def check_scenario(self, text: str, place: Path) -> None:
        """Check, before it is read, that the scenario in folder `place` is still the one that the
        run came from.

        Raises:
          VerificationError: it was changed meanwhile.
        """
        if sha256(text.encode()).hexdigest() != self.scenario:
            raise _changed(place, ["scenario"])

    def check(self, before: Origin, place: Path) -> None:
        """Check that the run in folder `place` goes on with what it began with.

        Raises:
          VerificationError: something was changed meanwhile.
        """
        changed = [
            name for name in ("scenario", "data") if getattr(self, name) != getattr(before, name)
        ]
        # A process that ran other scenarios of the folder before has loaded more.
        both = self.code.keys() & before.code.keys()
        changed += [f"{name}.py" for name in sorted(both) if self.code[name] != before.code[name]]
        if changed:
            raise _changed(place, changed)


def _changed(place: Path, names: Sequence[str]) -> VerificationError:
    return VerificationError(
        f"{place}: changed since the run began: {', '.join(names)}",
        hint="put back what it began with, or run its scenario.toml as a new run",
    )


def origin_of(text: str, bench: Workbench, base: Path) -> Origin:
    """What a run of the scenario with this text comes from.

    Args:
      base: folder of the scenario file, for its `module:callable`.
    """
    arrays = [
        tensor.detach().cpu().numpy()
        for tensor in (bench.x_NF, bench.y_N, bench.test_x_TF, bench.test_y_T)
    ]
    return _origin(text, arrays, bench.rows_of, base)


def origin_of_dealt(text: str, dealt: Dealt, base: Path) -> Origin:
    """What a launch of the scenario with this text comes from, all nodes together.

    Args:
      base: folder of the scenario file, for its `module:callable`.
    """
    train, test = dealt.data.train, dealt.data.test
    arrays = [train.x_NF, train.y_N, test.x_NF, test.y_N]
    rows_of = {NodeId(party): rows for party, rows in dealt.rows_of.items()} | dict(dealt.kept)
    return _origin(text, arrays, rows_of, base)


def _origin(
    text: str, arrays: Sequence[Any], rows_of: Mapping[NodeId, Int64s], base: Path
) -> Origin:
    data = sha256()
    for each in arrays:
        array = np.ascontiguousarray(each)
        data.update(f"{array.dtype} {array.shape}".encode())
        data.update(array.data)
    for node, rows in sorted(rows_of.items()):
        data.update(f"{node} {len(rows)}".encode())
        data.update(np.ascontiguousarray(rows).data)
    return Origin(sha256(text.encode()).hexdigest(), data.hexdigest(), code_beside(base))
