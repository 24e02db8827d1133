"""`troth broker`: a process that waits for a curator, runs the rounds of one model, and is gone.

What it needs to go on after a kill at any point lies in its folder: the curator's question as it
came, and the journal of the broker's role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from troth.crypto.identity import Identity, PublicId
from troth.deployment.play import JOURNAL, NodeResult, Play, open_folder
from troth.deployment.publication import Publish, Told
from troth.errors import LocalError, PeerError, VerificationError
from troth.ids import NodeId
from troth.learning.device import repeatable
from troth.protocols.tormentor import joining
from troth.protocols.tormentor.awaiting import awaited
from troth.protocols.tormentor.messages import Curate
from troth.protocols.tormentor.operation.face import CURATE_BYTES, FACE
from troth.protocols.tormentor.operation.rows import rows_of_deposit
from troth.protocols.tormentor.operation.staging import brokered_stage, check_size
from troth.protocols.tormentor.operation.terms import check_code, read_charter, scenario_text
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.roles import broker
from troth.protocols.tormentor.state import BrokerState
from troth.report.atomic import replace_file
from troth.report.folder import RunFolder
from troth.report.progress import Display
from troth.report.read import cannot_read, regular
from troth.runs.origin import origin_of
from troth.wire import Codec
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.server import BrokerServer, Deployed
from troth.worlds.real.carrying import while_carried
from troth.worlds.real.collector import nothing_old_collected
from troth.worlds.real.journal import LOST
from troth.worlds.real.limits import Limits, body_bytes
from troth.worlds.real.link import Refusal
from troth.worlds.real.node import Listen, Outcome, make_host
from troth.worlds.states import decode_state

CURATED = "curated.msgpack"
"""The file of the curator's question, as it came: charter, validation set, signature."""

TELL_AFTER_S = 60.0
"""Seconds without anything new after which a broker says what it waits for."""

LINGER_S = 60.0
"""Seconds that a broker stays for providers that have not heard yet that all is done."""

CURATOR_ASKS = NodeId("a curator")
"""The name by which errors blame whoever has sent a charter."""


@dataclass(frozen=True)
class BrokerOptions:
    """How a broker is run.

    Args:
      curators: whose charters it deploys, by public id; empty: anybody's.
      code: folder of the code that charters may name; None: they may name none.
      linger_s: how long it stays for providers who have not heard yet that all is done.
      tell_after_s: how long nothing may come of the training before it says what it waits for.
    """

    into: Path
    curators: Collection[PublicId] = ()
    code: Path | None = None
    linger_s: float = LINGER_S
    tell_after_s: float = TELL_AFTER_S


def run_broker(
    identity: Identity,
    where: Listen,
    options: BrokerOptions,
    publish: Publish,
    *,
    told: Told,
    progress: Display,
    limits: Limits | None = None,
) -> NodeResult:
    """Serve one model from its curation to its delivery. Started again, it goes on.

    Raises:
      UsageError: it cannot listen there, or its folder is something else.
      RoundFailedError: the training has failed.
    """

    async def serve() -> NodeResult:
        return await _Broker(identity, options, told, progress, limits or Limits()).run(
            where, publish
        )

    return asyncio.run(serve())


@dataclass(frozen=True)
class _Model:
    """The one model that a broker serves, with everything that runs for it."""

    play: Play
    deployed: Deployed


@dataclass
class _Broker:
    identity: Identity
    options: BrokerOptions
    told: Told
    progress: Display
    limits: Limits
    _curated: asyncio.Future[_Model] = field(
        init=False, default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _address: Address | None = field(init=False, default=None)

    async def run(self, where: Listen, publish: Publish) -> NodeResult:
        # TorMentor, section 5: "Each TorMentor broker is deployed as a Tor hidden service with a
        # unique and known .onion domain."
        # Differs from the paper: `publish` may give a plain address too, because a broker on a
        # private network needs no Tor.
        kept = self._kept()
        server = BrokerServer(
            FACE, self.identity, self.limits, deploy=self._deploy, resuming=kept is not None
        )
        port = await server.open(where.address, where.port)
        try:
            async with publish(port) as self._address:
                if kept is not None:
                    model = await asyncio.to_thread(self._model, kept)
                    server.resume(model.deployed)
                    self._curated.set_result(model)
                self.told.listening(self._address)
                if kept is not None:
                    self._tell(model)
                try:
                    curated = await while_carried(
                        self._tell_no_curator(), _result_of(self._curated)
                    )
                    return await self._train(curated)
                finally:
                    # While it can still be reached: last answers are on their way.
                    await server.close()
        finally:
            await server.close()
            if self._curated.done() and not self._curated.cancelled():
                self._curated.result().play.close()

    async def _train(self, model: _Model) -> NodeResult:
        host = model.deployed.host
        with model.play.life.running():
            with repeatable(model.play.stage.bench.device), nothing_old_collected():
                parameters = await while_carried(self._tell_waits(model), host.run())
            return model.play.finish(Outcome(parameters, host.tally, ()))

    async def _tell_no_curator(self) -> None:
        """Say that nobody has curated a model, again and again."""
        after_s = self.options.tell_after_s
        while True:
            await asyncio.sleep(after_s)
            self.progress.message(f"nothing new for {after_s:g} s: the broker waits for a curator")

    async def _tell_waits(self, model: _Model) -> None:
        """Say what the training waits for whenever nothing has come of it for a while."""
        parameters = model.play.stage.scenario.charter.protocol
        assert isinstance(parameters, Tormentor)
        before: object = None
        while True:
            await asyncio.sleep(self.options.tell_after_s)
            kept = (await asyncio.to_thread(model.play.journal.load)).state
            if kept is None:
                continue
            state = decode_state(BrokerState, kept)
            here = [(token, each.updates) for token, each in state.connections.items()]
            now = (state.round, here, state.finished, state.delivered)
            if now == before:
                waits = awaited(state, parameters.min_providers or 0)
                after_s = self.options.tell_after_s
                self.progress.message(f"nothing new for {after_s:g} s: the broker waits {waits}")
            before = now

    def _tell(self, model: _Model) -> None:
        assert self._address is not None
        self.told.deployed(replace(self._address, model_id=model.deployed.model_id))

    # ---------------------------------------------------------------- deployment

    async def _deploy(self, curate: Curate) -> Deployed:
        """Check a curator's charter, and set up the broker's role for its model.

        Raises:
          Refusal: the curator may not deploy here, or its charter cannot be deployed.
          PeerError: the charter is not signed by the curator.
        """
        # TorMentor, table 1, deployment verifier: "Accepts and enforces curator requirements",
        # "Establishes endpoint to train newly specified models".
        allowed = self.options.curators
        if allowed and curate.curator.hex() not in allowed:
            raise Refusal(403, "this broker deploys charters of curators on its list only")
        joining.check_signed(curate, sender=CURATOR_ASKS)
        try:
            model = await asyncio.to_thread(self._model, curate)
        except VerificationError as error:
            raise Refusal(400, error.message) from None
        except LocalError as error:
            raise Refusal(400, f"the charter cannot be deployed: {error}") from None
        self._curated.set_result(model)
        self._tell(model)
        return model.deployed

    def _model(self, curate: Curate) -> _Model:
        options = self.options
        charter = read_charter(curate.charter, curate.model_id)
        check_code(charter, trusted=options.code is not None)
        rows = rows_of_deposit(charter, joining.deposit_of(curate))
        base = options.code or options.into
        check_size(charter, rows, base=base)
        assert self._address is not None
        stage = brokered_stage(
            charter,
            BROKER,
            rows,
            lambda plan: partial(broker, plan=plan),
            seed=0,
            base=base,
            address=str(self._address),
            broker=self._address.public,
            linger_s=options.linger_s,
        )
        text = scenario_text(stage.scenario)
        folder = open_folder(stage, text, options.into)
        _keep(folder, curate)
        run = origin_of(text, stage.bench, base).digest()
        play = Play(stage, folder, self.progress, run=run)
        with ExitStack() as on_error:
            on_error.callback(play.close)
            limits = replace(self.limits, body_bytes=body_bytes(stage.bench.model.dimension))
            host = make_host(stage, play.journal, play, limits, largest_bytes=CURATE_BYTES)
            on_error.pop_all()
        return _Model(play, Deployed(host, curate.model_id, curate.charter))

    def _kept(self) -> Curate | None:
        """The curator's question that this broker kept before it was started again; None if there
        is none.

        Raises:
          VerificationError: the file is not what a curator has sent.
        """
        try:
            data = regular(self.options.into / CURATED).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if (self.options.into / JOURNAL).exists():
                raise VerificationError(
                    f"{self.options.into}: {CURATED} is missing, which its journal goes on from",
                    hint=LOST,
                ) from None
            return None
        except OSError as error:
            raise cannot_read(self.options.into / CURATED, error) from None
        try:
            message = Codec((Curate,), max_bytes=CURATE_BYTES).decode(data, sender=CURATOR_ASKS)
            assert isinstance(message, Curate)
            joining.check_signed(message, sender=CURATOR_ASKS)
        except PeerError as error:
            raise VerificationError(
                f"{self.options.into / CURATED}: is not what a curator has sent: {error.message}",
                hint="give the broker a new folder with --into",
            ) from None
        return message


async def _result_of(future: asyncio.Future[_Model]) -> _Model:
    return await asyncio.shield(future)


def _keep(folder: RunFolder, curate: Curate) -> None:
    """Write the curator's question to the disk, before the broker says that it has it."""
    folder.path.chmod(0o700)  # It will hold the curator's validation rows.
    path = folder.path / CURATED
    if not path.exists():
        replace_file(path, Codec((Curate,), max_bytes=CURATE_BYTES).encode(curate), private=True)
