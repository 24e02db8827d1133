"""Troth: parties that do not trust one another train one model together.

>>> import troth
>>> result = troth.simulate("examples/digits/scenario.toml")  # doctest: +SKIP

Names are looked up on first use, so that `import troth` and the command line start at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from troth.lazy import lazy_names

if TYPE_CHECKING:
    from troth.charter.loading import load_scenario
    from troth.errors import LocalError, PeerError
    from troth.simulation import Result, resume, simulate

__all__ = ["LocalError", "PeerError", "Result", "load_scenario", "resume", "simulate"]

_HOMES = {
    "LocalError": "troth.errors",
    "PeerError": "troth.errors",
    "Result": "troth.simulation",
    "load_scenario": "troth.charter.loading",
    "resume": "troth.simulation",
    "simulate": "troth.simulation",
}


__getattr__ = lazy_names(__name__, _HOMES)
