"""A party's own privacy over a whole training: its budget, and the noise that keeps it.

A role is given one of these, and nobody else sees it. For every update, in this order: `charged`,
`request`, `released`, then ledger and release in one `Save`, and only then the message.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from troth.compute import Compute
from troth.ids import NodeId, PartyId
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.privacy.dp_sgd import PrivateResult, PrivateUpdate
from troth.privacy.ledger import BudgetExhaustedError, PrivacyLedger
from troth.privacy.noise import SecretSource, SimulatedSecret, SystemSecret
from troth.privacy.planning import (
    NoisePlan,
    mechanism,
    open_ledger,
    plan,
    sampling_probability,
    training_steps,
)
from troth.privacy.spec import DPSGD, Budgeted, NoPrivacy, PrivacySpec, UpdateNoise
from troth.records import PartyPrivacy
from troth.streams import Stream
from troth.wire import Float32s


@dataclass(frozen=True)
class OwnPrivacy:
    """What one party does for its own privacy: its noise, its budget, and how updates are charged
    to it. `own_privacy` makes it."""

    party: PartyId
    spec: Budgeted
    training: Training
    examples: int
    planned: NoisePlan
    simulated: bool

    @property
    def epsilon(self) -> float:
        """The budget: what the party is willing to spend over the whole training."""
        return self.spec.epsilon_of(self.party)

    def open(self) -> PrivacyLedger:
        """The party's ledger before its first update, with nothing charged to it."""
        return open_ledger(self.spec, self.party)

    def charged(self, ledger: PrivacyLedger, release: int, view: str) -> PrivacyLedger:
        """The ledger after update number `release`, which `view` will see.

        Raises:
          BudgetExhaustedError: the budget does not bear it.
        """
        planned = self.planned
        return ledger.charged(release, planned.event, views=(view,), times=planned.times)

    def exhausted(self, ledger: PrivacyLedger) -> str | None:
        """Why there can be no further update; None if there can."""
        try:
            self.charged(ledger, ledger.last_release + 1, "anybody")
        except BudgetExhaustedError as error:
            return error.message
        return None

    def request(
        self,
        node: NodeId,
        release: int,
        params_D: Float32s,
        velocity_D: Float32s | None,
        secret: Stream,
    ) -> Compute[Workbench, LocalResult | PrivateResult]:
        """What has to be computed for update number `release`.

        Args:
          secret: the node's own; it decides lots and noise in a simulation, and nothing elsewhere.
        """
        if not isinstance(self.spec, DPSGD):
            return LocalUpdate(node, release, params_D, self.training, velocity_D)
        return PrivateUpdate(
            node,
            release,
            params_D,
            self.training,
            self.spec.clip,
            self.planned.noise_multiplier,
            self.examples,
            self._source(secret),
            velocity_D,
        )

    def released(
        self, result: LocalResult | PrivateResult, release: int, secret: Stream
    ) -> Float32s:
        """The update (D,) that may leave, once it is charged; nothing else of `result` may.

        Raises:
          RoundFailedError: the update is not finite.
        """
        if isinstance(result, PrivateResult):
            assert (result.event, result.times) == (self.planned.event, self.planned.times)
            return result.update_D
        assert isinstance(self.spec, UpdateNoise)
        noise = mechanism(self.spec, self.planned.noise_multiplier)
        assert noise.event == self.planned.event
        return noise.release(result.update_D, self._source(secret).child(release).bits())

    def _source(self, secret: Stream) -> SecretSource:
        return SimulatedSecret(secret.child("noise")) if self.simulated else SystemSecret()


def own_privacy(
    spec: PrivacySpec, party: PartyId, *, training: Training, examples: int, simulated: bool = False
) -> OwnPrivacy | None:
    """The privacy that `spec` gives to `party`, with the least noise that bears as many updates as
    the training has rounds; None where it asks for none. Finding it takes seconds.

    Args:
      examples: rows of the party, unless `spec` says another number in public.
      simulated: noise follows from the seed, so that the run repeats and protects nobody; otherwise
        it comes from the operating system.

    Raises:
      CharterError: delta is not below 1 / `examples`.
      LocalError: no noise is enough.
    """
    if isinstance(spec, NoPrivacy):
        return None
    batch_size, steps = None, 1
    if isinstance(spec, DPSGD):
        examples = spec.examples or examples
        batch_size = None if training.batch_size == "all" else training.batch_size
        steps = training_steps(training, sampling_probability(batch_size, examples))
    planned = plan(
        spec,
        rounds=training.rounds,
        examples=examples,
        batch_size=batch_size,
        steps=steps,
        party=party,
    )
    return OwnPrivacy(party, spec, training, examples, planned, simulated)


def party_privacy(
    party: PartyId, privacy: OwnPrivacy | None, ledger: PrivacyLedger | None
) -> PartyPrivacy:
    """What the party's report says of it. Epsilon is the accountant's, of the ledger's events."""
    if privacy is None:
        return PartyPrivacy(party=party, mechanism="none")
    ledger = ledger or privacy.open()
    return PartyPrivacy(
        party=party,
        mechanism=str(privacy.spec.__struct_config__.tag),
        unit=ledger.unit,
        adjacency=ledger.adjacency,
        budget=privacy.epsilon,
        **msgspec.structs.asdict(ledger.spent()),
        releases=ledger.last_release,
        views=list(ledger.views()),
        entries=msgspec.to_builtins(ledger.entries),
    )
