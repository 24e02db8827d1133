"""Data sets, schemas, and who holds what.

Names are looked up on first use, because charters import `troth.data.spec` and must stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from troth.lazy import lazy_names

if TYPE_CHECKING:
    from troth.data.examples import DataSet, Examples
    from troth.data.loading import load
    from troth.data.partitions import deal

__all__ = ["DataSet", "Examples", "deal", "load"]

_HOMES = {
    "DataSet": "troth.data.examples",
    "Examples": "troth.data.examples",
    "deal": "troth.data.partitions",
    "load": "troth.data.loading",
}


__getattr__ = lazy_names(__name__, _HOMES)
