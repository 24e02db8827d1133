"""The numbers that all cryptography of a run depends on, worked out from the charter once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from troth.crypto.commitments import CommitmentKey, Layout
from troth.crypto.fixed_point import FixedPoint
from troth.crypto.g1 import G1
from troth.crypto.generators import Generators
from troth.crypto.group import Point
from troth.crypto.modelled_group import MODELLED
from troth.crypto.noise_rows import MIN_SIGMAS, GaussianRows
from troth.crypto.noise_table import TableShape
from troth.crypto.sharing import SharingScheme
from troth.errors import CharterError, LocalError
from troth.ids import NodeId
from troth.protocols.biscotti.hiding.noising import sigmas_of
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy
from troth.protocols.protocol import CharterTables

MAX_COLUMNS = 2**14
"""The most coordinates of one row of an update where the charter does not say how many rows there
are."""
LEAST_ROWS = 8
"""The fewest rows of an update, if it has so many coordinates, where the charter does not say."""
OPTIMISTIC_FROM = 50_000
"""Parameters from which sharing is optimistic where the charter does not say: committing to the
random rows then costs seconds."""


@dataclass(frozen=True)
class Setting:
    """What commitments, shares and noise of one run are made with. It is small and holds no
    secrets, so that it travels with a computation to another process."""

    generator_id: bytes
    """The charter's digest, 32 bytes, which the generators are derived from."""
    dimension: int
    """D, how many parameters the model has."""
    scheme: SharingScheme
    """How an update is shared among the aggregators."""
    fixed: FixedPoint
    """The grid that updates are clipped and rounded to."""
    table: TableShape
    """How many slots of noise a peer commits to, in how many rounds."""
    noisers: int
    """How many noisers a contributor draws."""
    needed: int
    """How many of these have to answer."""
    sigma: int | None
    """Standard deviation of one slot's noise in steps of the grid; None: updates are not masked."""
    ledger_sigma: int | None
    """Standard deviation, in steps of the grid, of what each contributor adds for the ledger's
    differential privacy; None: it adds nothing."""
    optimistic: bool
    """Whether contributors commit to random rows only when a sum has failed."""
    modelled: bool = False
    """Simulations only: commitments are in a group that binds nobody
    (`troth.crypto.modelled_group`)."""

    @property
    def layout(self) -> Layout:
        """How a vector of shape (D,) becomes rows that are committed to one by one."""
        return self.scheme.layout(self.dimension)

    @property
    def key(self) -> CommitmentKey:
        """The generators that commitments are made with. They are derived once in each process, in
        0.2 ms for each column."""
        return _key(self.generator_id, self.layout, self.modelled)

    @property
    def bound(self) -> int:
        """B, the largest absolute value of a coordinate of a committed update, in steps of the
        grid."""
        return self.fixed.bound + MIN_SIGMAS * (self.ledger_sigma or 0)

    @property
    def noise_bound(self) -> int:
        """The largest absolute value of a coordinate of a slot's noise, in steps of the grid."""
        return MIN_SIGMAS * (self.sigma or 0)

    @property
    def masked_bound(self) -> int:
        """The largest absolute value of a coordinate of a masked update, in steps of the grid."""
        return self.bound + self.noisers * self.noise_bound

    def points(self, encoded: bytes, count: int, *, sender: NodeId) -> tuple[Point, ...]:
        """The points of commitments to rows, from the bytes that a peer sent.

        Raises:
          PeerError: they are not `count` points of the group; the culprit is `sender`.
        """
        return self.key.group.parse(encoded, count, sender=sender)

    @property
    def rows(self) -> GaussianRows:
        """What expands a slot's seeds into noise and commits to it; only where there is a mask."""
        assert self.sigma is not None
        return GaussianRows(self.key, self.sigma, self.noise_bound)


def setting_of(
    charter_tables: CharterTables[Biscotti],
    *,
    charter: bytes,
    dimension: int,
    modelled: bool = False,
) -> Setting:
    """The setting that follows from a charter.

    Args:
      charter: its digest, 32 bytes.
      dimension: D.
      modelled: see `Setting`.

    Raises:
      CharterError: the numbers do not go together, or noise does not fit the grid.
    """
    protocol, training = charter_tables.parameters, charter_tables.training
    privacy: MaskedPrivacy = charter_tables.privacy
    try:
        fixed = FixedPoint(protocol.clip, protocol.fraction_bits)
        scheme = scheme_of(protocol, dimension)
        scheme.layout(dimension)
    except CharterError:
        raise
    except LocalError as error:
        raise CharterError(error.message, key="protocol", hint=error.hint) from None
    slot, part = sigmas_of(charter_tables, fixed, dimension)
    return Setting(
        generator_id=charter,
        dimension=dimension,
        scheme=scheme,
        fixed=fixed,
        table=TableShape(training.rounds, privacy.slots),
        noisers=privacy.noisers,
        needed=privacy.enough,
        sigma=slot,
        ledger_sigma=part,
        optimistic=shares_optimistically(protocol, dimension),
        modelled=modelled,
    )


def scheme_of(protocol: Biscotti, dimension: int) -> SharingScheme:
    """How an update of D = `dimension` values is shared among aggregators.

    Raises:
      LocalError: the numbers do not go together.
    """
    tau, t = protocol.resolved_quorum, protocol.resolved_tolerated
    points = protocol.points or points_of(dimension, tau - t)
    return SharingScheme(protocol.aggregators, t, tau, points, crash=protocol.faults == "crash")


def shares_optimistically(protocol: Biscotti, dimension: int) -> bool:
    """Whether contributors commit to random rows only if they are asked to."""
    return dimension >= OPTIMISTIC_FROM if protocol.optimistic is None else protocol.optimistic


def points_of(dimension: int, rows_of_a_point: int) -> int:
    """s, the points of the sharing polynomial for each aggregator, where the charter does not say.

    Args:
      dimension: D.
      rows_of_a_point: data rows for each point: tau - t.
    """
    rows = max(LEAST_ROWS, -(-dimension // MAX_COLUMNS))
    return max(1, min(rows, dimension) // rows_of_a_point)


@cache
def _key(generator_id: bytes, layout: Layout, modelled: bool) -> CommitmentKey:
    group = MODELLED if modelled else G1
    return CommitmentKey(layout, Generators.derive(generator_id, layout.columns, group=group))
