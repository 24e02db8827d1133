"""What `troth curate` and `troth join` do: run a curator or a provider, each with rows of its own,
that asks a broker."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from troth.charter.charter import Charter
from troth.charter.digest import charter_digest
from troth.charter.loading import load_text
from troth.crypto.identity import Identity
from troth.crypto.signatures import SigningKey
from troth.deployment.play import NodeResult, Play, open_folder
from troth.errors import RoundFailedError
from troth.ids import NodeId, PartyId
from troth.learning.device import repeatable
from troth.privacy.own import own_privacy
from troth.privacy.spec import NoPrivacy, PrivacySpec
from troth.protocols.tormentor.messages import GradientUpdate
from troth.protocols.tormentor.operation.face import CURATE_BYTES
from troth.protocols.tormentor.operation.rows import deposit_of
from troth.protocols.tormentor.operation.staging import brokered_stage
from troth.protocols.tormentor.operation.terms import (
    charter_text,
    check_brokered,
    check_code,
    read_charter,
    scenario_text,
)
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.roles import curator, provider
from troth.report.folder import RunFolder, is_empty
from troth.report.progress import Display
from troth.runs.origin import origin_of
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.caller import Caller
from troth.worlds.real.api.fetch import fetch_charter
from troth.worlds.real.carrying import while_carried
from troth.worlds.real.inquiry import Inquiry
from troth.worlds.real.limits import Limits, body_bytes
from troth.worlds.real.node import Outcome, make_host
from troth.worlds.real.reach import Reach, straight
from troth.worlds.real.rows import Rows
from troth.worlds.real.stage import NodeStage
from troth.worlds.real.tor.socks import Socks

PROVIDER = PartyId(NodeId("provider"))
"""What a provider with a file of its own is called in its own folder, and nowhere else."""


def run_curator(
    charter: Charter,
    identity: Identity,
    rows: Rows,
    broker: Address,
    *,
    base: Path,
    into: Path,
    progress: Display,
    limits: Limits | None = None,
    reach: Reach = straight,
) -> NodeResult:
    """Have a broker train a model by `charter`, and wait for it.

    Args:
      identity: signs the charter.
      rows: the validation set; the broker is given it.
      base: folder of the code that the charter names.

    Raises:
      CharterError: the charter is not for strangers.
      RoundFailedError: the broker does not take the charter. UnreachableError: it is not there.
      VerificationError: whoever answers is not the broker.
    """
    check_brokered(charter)
    key = SigningKey(identity.key.private_bytes_raw())
    deposit = deposit_of(rows, charter_text(charter))
    stage = brokered_stage(
        charter,
        CURATOR,
        rows,
        lambda plan: partial(curator, plan=plan, key=key, deposit=deposit),
        seed=0,
        base=base,
        broker=broker.public,
    )
    progress.message(f"providers join {replace(broker, model_id=charter_digest(charter))}")

    async def ask() -> NodeResult:
        async with reach(broker) as socks:
            return await _play(stage, broker, socks, into, progress, limits or Limits(), base=base)

    return asyncio.run(ask())


@dataclass(frozen=True)
class ProviderOptions:
    """How a provider takes part.

    Args:
      name: what it is called in its own folder, and nowhere else.
      identity: the key on the charter's allow list, where it has one.
      privacy: which noise is added to every update, and what may be spent.
      code: folder of the code that the charter may name; None: it may name none.
    """

    into: Path
    name: PartyId = PROVIDER
    identity: Identity | None = None
    privacy: PrivacySpec = field(default_factory=NoPrivacy)
    code: Path | None = None


def run_provider(
    broker: Address,
    rows_of: Callable[[Charter], Rows],
    options: ProviderOptions,
    *,
    progress: Display,
    limits: Limits | None = None,
    reach: Reach = straight,
) -> NodeResult:
    """Take part in the training of a model until that is over.

    Args:
      broker: with the id of the model.
      rows_of: its rows, as the charter wants them.

    Raises:
      UnreachableError: the broker is not there.
      VerificationError: whoever answers is not the broker, or has another charter.
      CharterError, DataError: the charter and the rows do not go together.
      RoundFailedError: it is not let in, or would not be.
    """

    async def ask() -> NodeResult:
        async with reach(broker) as socks:
            assert broker.model_id is not None
            charter = read_charter(
                await fetch_charter(broker, socks=socks, limits=limits), broker.model_id
            )
            check_code(charter, trusted=options.code is not None)
            stage = _provider_stage(charter, rows_of(charter), options)
            return await _play(
                stage,
                broker,
                socks,
                options.into,
                progress,
                limits or Limits(),
                base=options.code or options.into,
            )

    result = asyncio.run(ask())
    (own,) = result.summary.parties
    if own.stopped is not None and GradientUpdate.__name__ not in own.sent:
        raise RoundFailedError(f"this provider could not take part: {own.stopped}")
    return result


def _provider_stage(charter: Charter, rows: Rows, options: ProviderOptions) -> NodeStage:
    privacy = own_privacy(
        options.privacy, options.name, training=charter.training, examples=len(rows.own)
    )
    identity = options.identity
    key = None if identity is None else SigningKey(identity.key.private_bytes_raw())
    return brokered_stage(
        charter,
        options.name,
        rows,
        lambda plan: partial(provider, plan=plan, privacy=privacy, key=key),
        seed=_seed(options.into),
        base=options.code or options.into,
        privacy=privacy,
    )


def _seed(into: Path) -> int:
    """The seed of a provider's batches, which is drawn once, and kept in its folder."""
    if into.exists() and not is_empty(into):
        folder = RunFolder.open(into)
        path = into / "scenario.toml"
        return load_text(folder.scenario_text(), path=path, base=into).scenario.seed
    return secrets.randbelow(2**53)


async def _play(
    stage: NodeStage,
    broker: Address,
    socks: Socks | None,
    into: Path,
    progress: Display,
    limits: Limits,
    *,
    base: Path,
) -> NodeResult:
    text = scenario_text(stage.scenario)
    folder = open_folder(stage, text, into)
    run = origin_of(text, stage.bench, base).digest()
    with closing(Play(stage, folder, progress, run=run)) as play, play.life.running():
        with repeatable(stage.bench.device):
            outcome = await _ask(play, broker, socks, limits)
        return play.finish(outcome)


async def _ask(play: Play, broker: Address, socks: Socks | None, limits: Limits) -> Outcome:
    stage = play.stage
    limits = replace(limits, body_bytes=body_bytes(stage.bench.model.dimension))
    inquiry = Inquiry(BROKER)
    host = make_host(stage, play.journal, play, limits, largest_bytes=CURATE_BYTES, inquiry=inquiry)
    caller = Caller(host, broker, socks=socks)

    async def play_role() -> Outcome:
        parameters = await host.run()
        await host.drain()
        return Outcome(parameters, host.tally, ())

    return await while_carried(caller.run(), play_role())
