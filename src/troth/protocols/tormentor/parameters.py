"""The `[protocol]` table of `tormentor` (Fung & Beschastnikh 2019, tables 1 and 2, section 5)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.crypto.spec import Difficulty, PublicKeyHex, PuzzleSpec, Sha256Puzzle
from troth.errors import CharterError
from troth.privacy.spec import Epsilon
from troth.specification import Count, Fraction, NonNegative, Positive, Reference, Table

COSTLIER_ADMISSION = 2
"""Digits by which admission is harder than an update where the charter says nothing.

TorMentor, section 6.2, asks that admission takes so long that leaving and rejoining after a
rejection does not pay; docs/protocols/tormentor.md says what follows from 2."""


class RONI(Table, tag_field="kind", tag="roni", frozen=True, kw_only=True):
    """Reject on negative influence: rejects an update with which the error on the curator's rows
    rises by more than `threshold`. A secret of the broker draws which updates are looked at."""

    # TorMentor, section 5: "As a default, we validate 10% of all model updates and use an initial
    # difficulty of 3."; section 6.2: "a RONI threshold of 2%".
    share: Fraction = 0.1
    """Share of the updates that are looked at."""
    threshold: NonNegative = 0.02
    """The rise of the validation error from which an update is rejected."""


class ShapleyValue(Table, tag_field="kind", tag="shapley", frozen=True, kw_only=True):
    """Rejects an update whose Shapley value among the last `window` accepted ones is negative."""

    share: Fraction = 0.1
    """Share of the updates that are looked at."""
    window: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    """How many accepted updates an update is compared with."""
    permutations: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 16
    """How many orders of these updates the value is estimated from."""
    threshold: NonNegative = 0.02
    """How far below zero a value may be."""


class AllowList(Table, tag_field="kind", tag="allow_list", frozen=True, kw_only=True):
    """External authorisation: only providers that prove to hold one of these Ed25519 keys join."""

    keys: Annotated[list[PublicKeyHex], msgspec.Meta(min_length=1)]


class CallableVerifier(Table, tag_field="kind", tag="callable", frozen=True, kw_only=True):
    """The curator's own verifier: `callable(params_D, update_D, error, **arguments)` gives None to
    accept, or the reason to reject. `error(params_D)` is a model's error on the validation rows."""

    callable: Reference
    arguments: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)


VerifierSpec = RONI | ShapleyValue | AllowList | CallableVerifier


class Plateau(Table, frozen=True, kw_only=True):
    """Training is over when the validation error has not fallen by `improvement` below its best for
    `rounds` rounds."""

    rounds: Count = 10
    improvement: NonNegative = 0.001


class Tormentor(Table, tag_field="name", tag="tormentor", frozen=True, kw_only=True):
    """Brokered learning: a short-lived broker trains a curator's model with anonymous providers."""

    # TorMentor, table 1, aggregator: "Total async SGD [30]", "Bulk sync SGD [22]", "Semi sync SGD
    # [18]".
    synchrony: Literal["asynchronous", "bulk_synchronous", "semi_synchronous"] = "asynchronous"
    """`asynchronous`: every update is applied as it comes. `bulk_synchronous`: the mean of one
    update of each provider a round. `semi_synchronous`: as it comes, but nobody runs ahead of the
    slowest by more than `staleness` updates."""
    staleness: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    """Updates by which a provider may run ahead of the slowest; with `semi_synchronous` only."""
    min_providers: Count | None = None
    """How many providers have to join before training starts; so many accepted updates are a round.
    Absent: as many as the scenario has parties. A charter for strangers has to say it."""
    puzzle: PuzzleSpec = Sha256Puzzle()
    """The hash that puzzles are made of."""
    difficulty: Difficulty = 3
    """Difficulty of the puzzle that comes with each update, in trailing zero hexadecimal digits;
    one more after each update that a verifier has rejected."""
    admission_difficulty: Difficulty | None = None
    """Difficulty of the puzzle for joining; absent: difficulty + 2. The paper's value is
    `difficulty`, which makes leaving after a rejection and joining anew cheaper than staying."""
    puzzle_rounds: Count = 20
    """Rounds after which a puzzle expires."""
    verifiers: list[VerifierSpec] = msgspec.field(default_factory=lambda: [RONI()])
    """What checks updates beside proof of work, which is always asked for. All must accept."""
    probation: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """Updates that a provider has to get accepted in a row, after joining and after each rejection,
    before no more than a `share` of its updates is looked at; until then all are. The paper's value
    is 0."""
    validation_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    """Share of the training rows that the curator keeps for validation; no party holds them, and
    they are not the test set either."""
    minimum_epsilon: Epsilon | None = None
    """The curator asks providers to say with which epsilon they train, and turns away what is said
    to be less, or not said. Absent: nobody says."""
    plateau: Plateau | None = None
    time_s: Positive | None = None
    """Training is over after so long, whatever else."""
    deadline_s: Positive | None = None
    """How long a provider waits before it asks again, and the broker for a provider that others
    wait for. Absent: for ever."""
    curators: list[PublicKeyHex] = msgspec.field(default_factory=list)
    """Keys whose signed charters the broker deploys; empty: anybody's, but signed it must be."""
    model_to_providers: bool = False
    """Whether providers get the final model too."""

    def check(self) -> None:
        semi = self.synchrony == "semi_synchronous"
        if semi and self.staleness is None:
            raise CharterError(
                'is missing, and synchrony = "semi_synchronous" needs it',
                key="staleness",
                hint="say by how many updates a provider may run ahead: staleness = 3",
            )
        if not semi and self.staleness is not None:
            raise CharterError(
                f'has no effect with synchrony = "{self.synchrony}"',
                key="staleness",
                value=self.staleness,
                hint='remove it, or set synchrony = "semi_synchronous"',
            )
        kinds = [verifier.__struct_config__.tag for verifier in self.verifiers]
        for index, kind in enumerate(kinds):
            if kind != "callable" and kind in kinds[:index]:
                raise CharterError(
                    "is there already", key=f"verifiers[{index}].kind", value=str(kind)
                )

    @property
    def to_join(self) -> int:
        """Difficulty of the admission puzzle, in trailing zero hexadecimal digits."""
        # TorMentor, section 6.2: "an optimal proof of work admission puzzle should require enough
        # time such that this strategy becomes infeasible", to leave and rejoin, that is.
        if self.admission_difficulty is not None:
            return self.admission_difficulty
        return min(self.difficulty + COSTLIER_ADMISSION, 16)
