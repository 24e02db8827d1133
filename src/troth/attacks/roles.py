"""Malicious parties as roles: an honest role whose updates are replaced on the way out.

The wrapper steps the honest role and passes its effects on, so it works for every protocol and no
protocol knows of it. Colluding attackers share data and plans at no cost and without delay, which
is the strongest adversary the scenario's share of attackers allows.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from troth.attacks.spec import ALIE, CallableAttack, InnerProduct, UpdateAttack
from troth.attacks.updates import AttackContext, malicious_update
from troth.compute import Compute
from troth.ids import PartyId
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.workbench import Workbench
from troth.roles.effects import Effect, Perform
from troth.roles.interception import intercept
from troth.roles.node import Node, Role
from troth.wire import Float32s


class Updates(msgspec.Struct, frozen=True):
    """The honest updates of several parties, each (D,)."""

    updates: tuple[Float32s, ...]


@dataclass(frozen=True, eq=False)
class ColludingUpdates(Compute[Workbench, Updates]):
    """What each of `members` would honestly answer to `asked`; computed once for all of them."""

    asked: LocalUpdate
    members: tuple[PartyId, ...]

    label: ClassVar[str] = "attack"
    keeps: ClassVar[bool] = False  # as many vectors as there are colluders

    def run(self, bench: Workbench) -> Updates:
        requests = [replace(self.asked, node=member, velocity_D=None) for member in self.members]
        results = LocalUpdate.run_many(requests, bench)
        return Updates(tuple(result.update_D for result in results))

    def memo_key(self) -> Hashable:
        digest = blake2b(self.asked.params_D.tobytes()).digest()
        return type(self), self.asked.round, self.members, digest


def corrupt(
    honest: Role,
    spec: UpdateAttack,
    *,
    members: tuple[PartyId, ...],
    parties: int,
    attackers: int,
    base: Path | None,
) -> Role:
    """`honest`, except that every update it computes is replaced as `spec` says.

    Args:
      members: the attackers that collude in this attack, this one included, in ascending order.
      parties: all parties of the run; attackers: all attackers among them.
      base: folder in which a `module:callable` is looked up.
    """

    async def malicious(node: Node) -> Float32s | None:
        async def replaced(effect: Effect[Any], value: Any) -> Any:
            if not (isinstance(effect, Perform) and isinstance(effect.request, LocalUpdate)):
                return value
            assert isinstance(value, LocalResult)
            asked = effect.request
            peers_PD = value.update_D[np.newaxis]
            if isinstance(spec, ALIE | InnerProduct | CallableAttack):
                shared = await node.compute(ColludingUpdates(asked, members))
                peers_PD = np.stack(shared.updates)
            update_D = malicious_update(
                spec,
                value.update_D,
                peers_PD,
                AttackContext(asked.round, parties, attackers, len(value.update_D)),
                node.stream.child("attack", asked.round).generator(),
                base,
            )
            return msgspec.structs.replace(value, update_D=update_D)

        return await intercept(honest, node, after=replaced)

    return malicious
