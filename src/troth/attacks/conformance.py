"""What an attack on updates must hold: run this on an attack of your own.

from troth.attacks.conformance import check_attack

check_attack(my_attack)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from troth.attacks.updates import AttackContext
from troth.errors import LocalError
from troth.streams import Stream
from troth.wire import Float32s

Attack = Callable[[Float32s, Float32s, AttackContext, np.random.Generator], Float32s]
"""`attack(update_D, peers_PD, context, generator)`, further arguments already bound."""

CASES = ((1, 1), (7, 1), (7, 4), (300, 3))
"""(D, P) of the updates tried."""


class ConformanceError(LocalError):
    """An attack breaks what it must hold."""


def check_attack(attack: Attack) -> None:
    """Tries `attack` on random updates.

    | promise       | broken, it means                                                         |
    |---------------|--------------------------------------------------------------------------|
    | float32 (D,)  | the message cannot be encoded, and the run stops                         |
    | repeats       | two runs of one seed differ: draw from `generator` only                  |
    | leaves inputs | the honest updates of colluding attackers change behind their backs      |

    Whether numbers are finite is up to the attack: receivers must refuse those that are not.

    Raises:
      ConformanceError: which promise, and for which sizes.
    """
    for dimension, peers in CASES:
        where = f"for D = {dimension} and P = {peers}"
        stream = Stream(0, ("conformance", dimension, peers))
        peers_PD = stream.generator().standard_normal((peers, dimension)).astype(np.float32)
        update_D = peers_PD[0].copy()
        context = AttackContext(round=1, parties=10, attackers=peers, dimension=dimension)
        given = update_D.copy(), peers_PD.copy()
        sent = [attack(*given, context, stream.child("attack").generator()) for _ in range(2)]
        first = sent[0]
        if not isinstance(first, np.ndarray) or first.dtype != np.float32:
            found = first.dtype if isinstance(first, np.ndarray) else type(first).__name__
            raise ConformanceError(
                f"returns {found} {where}, not an array of float32",
                hint="end it with .astype(numpy.float32)",
            )
        if first.shape != (dimension,):
            raise ConformanceError(f"returns shape {first.shape} {where}")
        if not np.array_equal(first, sent[1], equal_nan=True):
            raise ConformanceError(
                f"gives another update the second time {where}",
                hint="draw from the generator it is given, and keep no state",
            )
        if not (np.array_equal(given[0], update_D) and np.array_equal(given[1], peers_PD)):
            raise ConformanceError(
                f"changes its arguments {where}", hint="work on copies: update_D.copy()"
            )
