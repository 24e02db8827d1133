"""Checking that a slot of noise which was opened for everybody is what its noiser committed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import msgspec

from troth.compute import Compute
from troth.crypto.noise_table import Seeds, check_seeds
from troth.errors import PeerError
from troth.ids import Round
from troth.protocols.biscotti.blaming.offences import split_path
from troth.protocols.biscotti.ledger.block import NoiseOpening
from troth.protocols.biscotti.setting import Setting


class CheckedOpening(msgspec.Struct, frozen=True):
    """Whether the opened slot is the noise that its noiser committed to in the genesis."""

    good: bool


@dataclass(frozen=True, eq=False)
class CheckOpening(Compute[object, CheckedOpening]):
    """The computation that expands the noise of an opened slot and commits to it, as its noiser has
    done for the genesis.

    Args:
      root: of the noiser's table, from the genesis.
    """

    setting: Setting
    root: bytes
    round: Round
    opening: NoiseOpening

    label: ClassVar[str] = "check_opening"

    def run(self, bench: object) -> CheckedOpening:  # noqa: ARG002  (the contract's name)
        opening = self.opening
        try:
            check_seeds(
                self.setting.rows,
                self.root,
                self.setting.table,
                owner=opening.noiser,
                round=self.round,
                slot=opening.slot,
                seeds=Seeds(opening.seed, opening.blinding_seed),
                path=split_path(opening.path),
            )
        except PeerError:
            return CheckedOpening(False)
        return CheckedOpening(True)

    def memo_key(self) -> tuple[str, bytes]:
        return self.label, self.root + self.opening.signature
