"""What the conformance suite is told of each protocol: those that come with Troth, and `medians`,
which comes by an entry point from `tests/foreign`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from conformance import Case, Models, Run, Setup, Watch, nobody_watches

from troth import streams
from troth.ids import NodeId
from troth.protocols.biscotti import ideal as biscotti_ideal
from troth.protocols.biscotti.claims import Witness as PeersWitness
from troth.protocols.biscotti.ledger.block import read_kept
from troth.protocols.biscotti.protocol import PROTOCOL as BISCOTTI
from troth.protocols.centralised.ideal import ideal as centralised_ideal
from troth.protocols.centralised.protocol import PROTOCOL as CENTRALISED
from troth.protocols.centralised.protocol import TRAINER
from troth.protocols.dssgd import claims as dssgd_claims
from troth.protocols.dssgd import ideal as dssgd_ideal
from troth.protocols.dssgd.protocol import PROTOCOL as DSSGD
from troth.protocols.federated import claims as federated_claims
from troth.protocols.federated.ideal import ideal as federated_ideal
from troth.protocols.federated.protocol import PROTOCOL as FEDERATED
from troth.protocols.standalone.ideal import ideal as standalone_ideal
from troth.protocols.standalone.protocol import PROTOCOL as STANDALONE
from troth.protocols.tormentor import ideal as tormentor_ideal
from troth.protocols.tormentor.claims import Witness as BrokerWitness
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.protocol import PROTOCOL as TORMENTOR
from troth.report.read import load_run

FOREIGN = Path(__file__).resolve().parents[1] / "foreign"
"""The folder of a distribution as if it were installed; also on the path of what is started."""

sys.path.insert(0, str(FOREIGN))

from troth_medians.protocol import PROTOCOL as MEDIANS  # noqa: E402
from troth_medians.roles import ideal as medians_ideal  # noqa: E402


def with_foreign() -> dict[str, str]:
    """The environment for processes that may run `medians`."""
    path = [str(FOREIGN), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path)}


UPDATES = {
    "gradient": 'update = "gradient"\nlearning_rate = 0.5\nmomentum = 0.5\ndecay = 0.1',
    "step": 'update = "step"\nlearning_rate = 0.5\nmomentum = 0.9',
    "delta": "learning_rate = 0.5\nlocal_epochs = 2\nbatch_size = 16\nmomentum = 0.5",
}
STEP = 'update = "step"\nlearning_rate = 0.5\nmomentum = 0.9'
# The plain engine, in which a request's place in a batch cannot show in its last digits.
INLINE = '[engine]\nname = "inline"\n'
DELAYED = INLINE + "[network]\nlatency = { kind = 'lognormal', median_s = 0.1, sigma = 0.6 }\n"
NORMAL = 'latency = { kind = "normal", mean_s = 0.1, std_s = 0.05 }'


def everything(
    node: str, *, narrow: bool = True, attacked: bool = True, online_s: float = 5.0
) -> str:
    """Whatever may go wrong, at once; `node` crashes.

    Args:
      narrow: messages take time by their size, too.
      attacked: some parties send malicious updates.
      online_s: how long a party stays on average before it is away.
    """
    attacks = '[[attacks]]\nkind = "inner_product"\nfraction = 0.34\n' if attacked else ""
    bytes_per_s = "upload_bytes_per_s = 100000\ndownload_bytes_per_s = 100000\n"
    return f"""
[network]
latency = {{ kind = "lognormal", median_s = 0.1, sigma = 0.5 }}
loss = 0.05
duplication = 0.1
reordering = 0.1
{bytes_per_s if narrow else ""}
[churn]
mean_online_s = {online_s}
mean_offline_s = 0.5

[faults]
crashes = [{{ node = "{node}", at_s = 0.9, restart_after_s = 0.3 }}]

[cost]
kind = "fixed"
otherwise_s = 0.02

{attacks}
"""


# Each of six parties is away for good.
NOBODY = (
    "[network]\nlatency = 0.1\n[churn]\nabsences = ["
    + ", ".join(f'{{ party = "party-{number}", from_s = 0.0 }}' for number in range(6))
    + "]\n"
)
FIXED_COST = '[cost]\nkind = "fixed"\notherwise_s = 0.05\n'
FAULTS = {
    "calm": f"[network]\n{NORMAL}",
    "loss": f"[network]\n{NORMAL}\nloss = 0.2",
    "copies": f"[network]\n{NORMAL}\nduplication = 0.5\nreordering = 0.5",
    "narrow": f"[network]\n{NORMAL}\nupload_bytes_per_s = 20000\ndownload_bytes_per_s = 50000",
    "cut": f"[network]\n{NORMAL}\npartitions = "
    '[{ from_s = 0.3, until_s = 2.5, groups = [["party-0", "party-1"]] }]',
    "churn": f"[network]\n{NORMAL}\n[churn]\nmean_online_s = 3.0\nmean_offline_s = 1.0",
    "absent": f'[network]\n{NORMAL}\n[churn]\nabsences = [{{ party = "party-2", from_s = 0.2 }}]',
    "server crash": f"[network]\n{NORMAL}\n[faults]\ncrashes = ["
    '{ node = "server", at_s = 0.25, restart_after_s = 0.5 },'
    '{ node = "server", at_s = 1.5, restart_after_s = 0.1 },'
    '{ node = "party-3", at_s = 0.15, restart_after_s = 1.0 }]',
    "everything": f"[network]\n{NORMAL}\nloss = 0.1\nduplication = 0.1\nreordering = 0.2\n"
    "[churn]\nmean_online_s = 5.0\nmean_offline_s = 1.0\n"
    '[faults]\ncrashes = [{ node = "server", at_s = 0.7, restart_after_s = 0.3 }]\n' + FIXED_COST,
}


def _plan(run: Run, node: NodeId) -> Any:
    return run.stage.cast.roles[node].keywords["plan"]


def _seed(run: Run) -> int:
    seed: int = run.stage.scenario.seed
    return seed


# ------------------------------------------------------------------ federated

SERVER = NodeId("server")


def _federated_ideal(run: Run) -> Models:
    return federated_ideal(_plan(run, SERVER), run.stage.engine.run, streams.learning(_seed(run)))


def _check_federated(run: Run, _: frozenset[NodeId]) -> Callable[[], None]:
    def check() -> None:
        plan = _plan(run, SERVER)
        federated_claims.check(run.reports, plan, streams.learning(_seed(run)))

    return check


_RULES = {
    "mean": "",
    "some": "participation = 0.5\nserver_learning_rate = 0.7",
    "median": 'aggregation = "median"',
    "multi-krum": 'aggregation = { rule = "multi_krum", byzantine = 1 }',
    "nnm": 'aggregation = { rule = "krum", byzantine = 1, pre = "nnm" }',
    "bucketing": 'aggregation = { rule = "median", byzantine = 1, pre = "bucketing" }',
}
_ANSWERS = "deadline_s = 1.0\nat_least = 3\n"

FEDERATED_CASE = Case(
    record=FEDERATED,
    calm={
        f"{rule} {update}": Setup(protocol=_RULES[rule], training=UPDATES[update])
        for rule in _RULES
        for update in UPDATES
    }
    | {"delayed": Setup(world=DELAYED)},
    ideal=_federated_ideal,
    rough={
        "delta": Setup(
            protocol='deadline_s = 1.0\naggregation = "median"', world=everything("server")
        ),
        "step": Setup(protocol="deadline_s = 1.0", world=everything("server"), training=STEP),
        # Attackers send equal updates, between which the last digits decide.
        "multi-krum": Setup(
            protocol='deadline_s = 1.0\nat_least = 5\naggregation = "multi_krum"',
            world=everything("server", attacked=False),
        ),
    },
    faults={
        name: Setup(protocol="participation = 0.7\ndeadline_s = 1.0\nat_least = 2", world=world)
        for name, world in FAULTS.items()
    },
    seeds=6,
    watch=_check_federated,
    hostile=Setup(protocol=_ANSWERS + 'aggregation = "median"', world=FAULTS["calm"]),
    nothing=Setup(protocol="deadline_s = 1.0", world=NOBODY),
    launched=Setup(parties=4),
    as_simulated=True,
    counted=("mean delta", "some delta", "median step", "delayed"),
    uncounted={"Finished": "is sent once, in the end"},
)

# ------------------------------------------------------------------ dssgd


def _dssgd_ideal(run: Run) -> Models:
    plan, learning = _plan(run, SERVER), streams.learning(_seed(run))
    if plan.parameters.order == "round_robin":
        return dssgd_ideal.round_robin(plan, run.stage.engine.run, learning)
    orders = [report.accepted for report in run.reports]
    assert all(sorted(order) == list(run.stage.parties) for order in orders)
    return dssgd_ideal.lockstep(plan, run.stage.engine.run, learning, orders)


def _check_dssgd(run: Run, _: frozenset[NodeId]) -> Callable[[], None]:
    return lambda: dssgd_claims.check(run.reports, _plan(run, SERVER))


_UPLOADS = {
    "largest": "upload = 0.1",
    "bounded": "upload = 0.5\ndownload = 0.3\nbound = 0.01",
    "random": 'upload = 0.3\nselection = "random"\nthreshold = 1e-3',
}
_ASYNCHRONOUS = 'order = "asynchronous"\n'

DSSGD_CASE = Case(
    record=DSSGD,
    calm={
        f"{upload} {update}": Setup(protocol=_UPLOADS[upload], training=UPDATES[update], parties=4)
        for upload in _UPLOADS
        for update in ("step", "delta")
    }
    | {
        "asynchronous": Setup(
            protocol=_ASYNCHRONOUS + "upload = 0.2\ndownload = 0.5",
            world="[network]\nlatency = 0.1",
        )
    },
    ideal=_dssgd_ideal,
    rough={
        "round robin": Setup(protocol="upload = 0.3\ndeadline_s = 1.0", world=everything("server")),
        "asynchronous": Setup(
            protocol=_ASYNCHRONOUS + "upload = 0.3\ndeadline_s = 1.0", world=everything("server")
        ),
    },
    faults={
        f"{order} {name}": Setup(
            protocol=f'order = "{order}"\nupload = 0.2\ndeadline_s = 1.0', world=world
        )
        for order in ("round_robin", "asynchronous")
        for name, world in FAULTS.items()
    },
    seeds=3,
    watch=_check_dssgd,
    hostile=Setup(protocol="upload = 0.2\nbound = 0.1\ndeadline_s = 1.0", world=FAULTS["calm"]),
    nothing=Setup(protocol="upload = 0.2\ndeadline_s = 1.0", world=NOBODY),
    launched=Setup(protocol="upload = 0.2", parties=3),
    as_simulated=True,
    counted=("largest step", "asynchronous"),
    uncounted={"Finished": "is sent once, in the end"},
    estimated={"Download": "whoever does not know that all is over asks once more"},
)

# ------------------------------------------------------------------ alone


def _centralised_ideal(run: Run) -> Models:
    stage = run.stage
    training = stage.scenario.charter.training
    return centralised_ideal([TRAINER], stage.initial_D, training, stage.engine.run)


def _standalone_ideal(run: Run) -> Models:
    stage = run.stage
    training = stage.scenario.charter.training
    return standalone_ideal(stage.parties, stage.initial_D, training, stage.engine.run)


def _as_ideal(ideal: Callable[[Run], Models]) -> Watch:
    """Whoever sends nothing ends with its ideal's model whatever happens to it."""

    def watch(run: Run, _: frozenset[NodeId]) -> Callable[[], None]:
        def check() -> None:
            # Where nothing is sent, an ideal gives one model for each node.
            for id, model_D in ideal(run)[-1].items():  # type: ignore[union-attr]
                np.testing.assert_allclose(run.world.nodes[id].result, model_D, atol=1e-6)

        return check

    return watch


def _crash(node: str) -> str:
    crash = f'{{ node = "{node}", at_s = 0.07, restart_after_s = 1.0 }}'
    return f"{FIXED_COST}[faults]\ncrashes = [{crash}]"


CENTRALISED_CASE = Case(
    record=CENTRALISED,
    calm={update: Setup(training=training) for update, training in UPDATES.items()},
    ideal=_centralised_ideal,
    rough={"crash": Setup(world=_crash("trainer"), rounds=8)},
    faults={"crash": Setup(world=_crash("trainer"))},
    seeds=2,
    watch=_as_ideal(_centralised_ideal),
    hostile=None,
    nothing=None,
    launched=None,
    as_simulated=False,
)
STANDALONE_CASE = Case(
    record=STANDALONE,
    calm={update: Setup(training=training) for update, training in UPDATES.items()},
    ideal=_standalone_ideal,
    rough={"crash": Setup(world=_crash("party-2"))},
    faults={
        "crash": Setup(world=_crash("party-2")),
        "churn": Setup(world=FIXED_COST + "[churn]\nmean_online_s = 0.1\nmean_offline_s = 1.0"),
    },
    seeds=2,
    watch=_as_ideal(_standalone_ideal),
    hostile=None,
    nothing=None,
    launched=None,
    as_simulated=False,
)

# ------------------------------------------------------------------ tormentor

RONI = 'verifiers = [{ kind = "roni", share = 0.5, threshold = 0.05 }]\n'
SHAPLEY = 'verifiers = [{ kind = "shapley", share = 1.0, permutations = 3, threshold = 0.001 }]\n'
_WORK = "difficulty = 1\nverifiers = []\n"
_JUDGED = "difficulty = 1\n" + RONI
_MODES = {
    "asynchronous": 'synchrony = "asynchronous"\n',
    "bulk": 'synchrony = "bulk_synchronous"\n',
    "semi": 'synchrony = "semi_synchronous"\nstaleness = 2\n',
}
_QUICK = "[puzzles]\nground_up_to = 1\n"
_PUZZLES_COST = '[cost]\nkind = "fixed"\nseconds = { solve_puzzle = 1e-4, local_update = 0.02 }\n'
_BROKER_FAULTS = {
    "calm": f"[network]\n{NORMAL}\n",
    "loss": f"[network]\n{NORMAL}\nloss = 0.15\n",
    "copies": f"[network]\n{NORMAL}\nduplication = 0.5\nreordering = 0.5\n",
    "broker crash": f"[network]\n{NORMAL}\n[faults]\ncrashes = ["
    '{ node = "broker", at_s = 0.25, restart_after_s = 0.5 },'
    '{ node = "broker", at_s = 1.9, restart_after_s = 0.1 },'
    '{ node = "curator", at_s = 0.3, restart_after_s = 0.2 },'
    '{ node = "party-3", at_s = 1.5, restart_after_s = 1.0 }]\n',
    "churn": f"[network]\n{NORMAL}\n[churn]\nmean_online_s = 4.0\nmean_offline_s = 1.0\n",
    "everything": f"[network]\n{NORMAL}\nloss = 0.05\nduplication = 0.2\nreordering = 0.2\n"
    "[churn]\nmean_online_s = 6.0\nmean_offline_s = 1.0\n"
    '[faults]\ncrashes = [{ node = "broker", at_s = 1.7, restart_after_s = 0.3 }]\n',
}
_BROKER_UPDATES = {
    "gradient": 'update = "gradient"\nlearning_rate = 0.3\nmomentum = 0.5',
    "step": 'update = "step"\nlearning_rate = 0.3\nmomentum = 0.5',
    "delta": "learning_rate = 0.3\nlocal_epochs = 1\nbatch_size = 16",
}


def _tormentor_ideal(run: Run) -> Models:
    plan, compute, secret = _plan(run, BROKER), run.stage.engine.run, streams.secret(_seed(run))
    if plan.parameters.synchrony == "bulk_synchronous":
        return tormentor_ideal.bulk_synchronous(plan, compute, secret, run.stage.privacy)
    parties = len(plan.parties)
    order = [party for report in run.reports for party in report.accepted]
    assert len(order) == parties * plan.training.rounds
    # In another order from one time to the next, or it would be as good as bulk synchronous.
    assert order[parties : 2 * parties] != order[:parties]
    models = tormentor_ideal.asynchronous(plan, compute, secret, order, run.stage.privacy)
    return models[parties - 1 :: parties]


def _check_tormentor(run: Run, honest: frozenset[NodeId]) -> Callable[[], None]:
    broker = run.world.nodes[BROKER]
    witness = BrokerWitness(_plan(run, BROKER))
    broker.role = witness.watch(broker.role)

    def check() -> None:
        witness.check_end()
        assert broker.durable is not None
        np.testing.assert_array_equal(run.world.nodes[CURATOR].result, run.reports[-1].params_D)
        crashes = sum(crash.node == BROKER for crash in run.stage.scenario.faults.crashes)
        assert witness.restarts == crashes
        bulk = _plan(run, BROKER).parameters.synchrony == "bulk_synchronous"
        if not bulk and honest >= set(run.stage.parties):
            accepted = sum(len(report.accepted) for report in run.reports)
            assert accepted == len(run.reports) * len(run.stage.parties) == len(witness.counted)

    return check


def _private(mechanism: str) -> str:
    # One number of rows that all of them say: noise is then looked for once.
    rows = "examples = 60\n" if mechanism == "dp_sgd" else ""
    return (
        f'[parties.privacy]\nmechanism = "{mechanism}"\nepsilon = 40.0\ndelta = 1e-3\nclip = 0.5\n'
        + rows
    )


TORMENTOR_CASE = Case(
    record=TORMENTOR,
    calm={
        f"{judge} {update}": Setup(
            protocol="difficulty = 1\n" + verifiers + _MODES["bulk"],
            world=_QUICK,
            training=_BROKER_UPDATES[update],
        )
        for judge, verifiers in (("work", "verifiers = []\n"), ("roni", RONI), ("shapley", SHAPLEY))
        for update in _BROKER_UPDATES
    }
    | {
        f"asynchronous {update}": Setup(
            protocol=_WORK + _MODES["asynchronous"],
            world=INLINE + _BROKER_FAULTS["calm"] + _PUZZLES_COST + _QUICK,
            training=_BROKER_UPDATES[update],
            rounds=3,
        )
        for update in _BROKER_UPDATES
    }
    | {
        f"{mechanism} {update}": Setup(
            protocol=_WORK + _MODES["bulk"] + "deadline_s = 5.0\n",
            world=INLINE + _BROKER_FAULTS["calm"] + _PUZZLES_COST + _QUICK,
            training=f'update = "{update}"\nlearning_rate = 0.1\nbatch_size = 16\nmomentum = 0.5',
            parties=3,
            own=_private(mechanism),
        )
        for mechanism in ("gaussian", "dp_sgd")
        for update in UPDATES
    }
    | {
        "asynchronous laplace": Setup(
            protocol=_WORK + _MODES["asynchronous"] + "deadline_s = 5.0\n",
            world=INLINE + _BROKER_FAULTS["calm"] + _PUZZLES_COST + _QUICK,
            own=_private("laplace"),
        )
    },
    ideal=_tormentor_ideal,
    rough={
        mode: Setup(
            protocol=_JUDGED + _MODES[mode] + "deadline_s = 1.0\nplateau = { rounds = 9 }\n",
            world=_BROKER_FAULTS["everything"] + _PUZZLES_COST + _QUICK + attackers,
        )
        for mode, attackers in (
            ("asynchronous", '[[attacks]]\nkind = "rejoin"\nfraction = 0.34\n'),
            ("bulk", '[[attacks]]\nkind = "inner_product"\nfraction = 0.34\n'),
            ("semi", ""),
        )
    },
    # Without what puzzles cost: how many hashes one takes follows from the bits of the update.
    engines={
        mode: Setup(
            protocol=_JUDGED + _MODES[mode] + "deadline_s = 1.0\n",
            world=_BROKER_FAULTS["everything"] + _QUICK,
        )
        for mode in _MODES
    },
    faults={
        f"{mode} {name}": Setup(
            protocol=_JUDGED + _MODES[mode] + "deadline_s = 1.0\n",
            world=world + _PUZZLES_COST + _QUICK,
        )
        for mode in _MODES
        for name, world in _BROKER_FAULTS.items()
    },
    seeds=3,
    watch=_check_tormentor,
    hostile=Setup(
        protocol=_JUDGED + _MODES["asynchronous"] + "deadline_s = 5.0\n",
        world=_BROKER_FAULTS["calm"] + _PUZZLES_COST + _QUICK,
    ),
    # All parties send the contrary of what would help, and every update is looked at.
    nothing=Setup(
        protocol="difficulty = 1\ndeadline_s = 1.0\ntime_s = 2.0\nverifiers = "
        "[{ kind = 'roni', share = 1.0, threshold = 0.0 }]\n" + _MODES["bulk"],
        world=_BROKER_FAULTS["calm"]
        + _PUZZLES_COST
        + _QUICK
        + '[[attacks]]\nkind = "sign_flip"\nfraction = 1.0\nscale = 50.0\n',
    ),
    # Without chance: real providers draw batches that no seed knows.
    launched=Setup(
        protocol="difficulty = 1\nadmission_difficulty = 1\nverifiers = []\n" + _MODES["bulk"],
        training='update = "gradient"\nbatch_size = "all"\nlearning_rate = 0.5',
        parties=3,
    ),
    as_simulated=False,
    counted=("work delta",),
    estimated={"Next": "the last round is answered by Finished"},
    uncounted=dict.fromkeys(
        ("Curate", "Curated", "Fetch", "Delivery", "Delivered"), "is between curator and broker"
    )
    | dict.fromkeys(("Join", "Admission", "Solve", "Joined"), "belongs to joining")
    | dict.fromkeys(("Leave", "Left", "Finished"), "belongs to leaving"),
)

# ------------------------------------------------------------------ biscotti

_PEERS = {
    "as it comes": "",
    "sums": 'combine = "sum"\n',
    "no mask": '[privacy]\nmask = "none"\n',
    "few slots": "[privacy]\nnoisers = 3\nslots = 3\nwindow_s = 5.0\n"
    "mask = { kind = 'gaussian', sigma = 0.1 }\n",
    "median": 'aggregation = "median"\n',
    "mixed first": 'aggregation = { rule = "trimmed_mean", byzantine = 2, pre = "nnm" }\n',
    "optimistic": "optimistic = true\n",
    "the ledger is noisy": "least_updates = 3\n[privacy]\n"
    "ledger_noise = { epsilon = 50.0, delta = 1e-5 }\n",
    "larger committees": "verifiers = 5\naggregators = 4\nsampled = 0.25\nleast_updates = 1\n",
    "crash faults": 'faults = "crash"\naggregators = 3\nquorum = 2\n',
}
MODELLED = '[cryptography]\ngroup = "modelled"\n'


def biscotti_rounds(run: Run) -> list[biscotti_ideal.IdealRound]:
    """What every round of a run comes to."""
    bound = {id: role.keywords for id, role in run.stage.cast.roles.items()}
    secret = streams.secret(_seed(run))

    def masking(peer: NodeId, round: int) -> bytes:
        return secret.child("node", peer).child("biscotti", round, "mask").digest(32)

    plan = next(iter(bound.values()))["plan"]
    keys = {id: found["keys"] for id, found in bound.items()}
    return biscotti_ideal.ideal(plan.rules, keys, plan.initial_D, run.stage.engine.run, masking)


def _biscotti_ideal(run: Run) -> Models:
    """The models; every peer's chain is checked to hold what its ideal says, too."""
    expected = biscotti_rounds(run)
    for party, runtime in run.world.nodes.items():
        chain = _chain(runtime)
        assert len(chain) == len(expected), party
        for block, round in zip(chain, expected, strict=True):
            content = block.block.content
            assert tuple(line.contributor for line in content.contributions) == round.contributors
            np.testing.assert_array_equal(content.aggregate, round.aggregate_D)
            assert content.stake == round.stake.digest()
    for report, round in zip(run.reports, expected, strict=True):
        assert report.accepted == round.contributors
    return [round.params_D for round in expected]


def _chain(runtime: Any) -> list[Any]:
    """A node's chain, from its ledger."""
    ledger = runtime.store
    branches = [ledger.branch(tip, above=0, most_bytes=2**40) for tip in ledger.hashes]
    return list(map(read_kept, max(branches, key=len)))


def _check_biscotti(run: Run, honest: frozenset[NodeId]) -> Callable[[], None]:
    nodes = run.world.nodes
    peers = sorted(honest)
    plan = replace(_plan(run, peers[0]), reporter=peers[0])
    witness = PeersWitness(plan, peers)
    for id in peers:
        role = run.stage.cast.roles[id]
        nodes[id].role = witness.watch(partial(role.func, **{**role.keywords, "plan": plan}))

    def check() -> None:
        witness.check_end({id: nodes[id].result for id in peers})
        witness.check_views()

    return check


def _check_launched_peers(folder: Path, _: Path) -> None:
    """All peers end with one model and one chain that an auditor finds to hold."""
    from troth.report.folder import RunFolder

    launched = load_run(folder)
    audited = _audited(folder / "chain.sqlite")
    assert audited["height"] == launched.summary.rounds_planned
    expected = RunFolder(folder).read_model()[0]["params"]
    names = [party.party for party in launched.summary.parties]
    assert len(names) == 6
    for name in names:
        own = folder / "nodes" / name
        np.testing.assert_array_equal(RunFolder(own).read_model()[0]["params"], expected)
        assert _audited(own / "chain.sqlite")["hash"] == audited["hash"]
    accepted = sum(len(record.accepted) for record in launched.rounds)
    assert accepted > 0
    assert sum(party.accepted for party in launched.summary.parties) == accepted
    sent = sum(party.messages_sent for party in launched.summary.parties)
    assert sum(kind.messages for kind in launched.summary.traffic.values()) == sent > 0


def _audited(chain: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", "from troth.cli import main; main()", "chain", "verify"]
    done = subprocess.run(
        [*command, str(chain), "--format", "json"], capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


_BEARING = "phase_s = 1.0\nlinger_s = 2.0\nsampled = 0.5\nleast_updates = 1\n"
_PATIENT = "phase_s = 3.0\nlinger_s = 60.0\nneighbours = 5\n"

BISCOTTI_CASE = Case(
    record=BISCOTTI,
    calm={
        f"{name}, {where}": Setup(
            protocol=protocol, world=world + (MODELLED if world is DELAYED else ""), parties=12
        )
        for name, protocol in _PEERS.items()
        for where, world in (("at once", INLINE), ("delayed", DELAYED))
    },
    ideal=_biscotti_ideal,
    rough={
        # Of 10 peers hardly all are there for a round if each stays for 5 s.
        "attacked": Setup(
            protocol=_BEARING,
            world=everything("party-3", narrow=False, online_s=60.0) + MODELLED,
            parties=10,
        )
    },
    faults={
        "loss": Setup(
            protocol=_PATIENT,
            world=f"[network]\n{NORMAL}\nloss = 0.05\nduplication = 0.2\n{MODELLED}",
            parties=10,
            rounds=3,
        ),
        "crashes": Setup(
            protocol=_PATIENT,
            world=f"[network]\n{NORMAL}\n[faults]\ncrashes = ["
            '{ node = "party-3", at_s = 1.9, restart_after_s = 1.0 },'
            f'{{ node = "party-4", at_s = 3.0, restart_after_s = 4.0 }}]\n{MODELLED}',
            parties=10,
            rounds=3,
        ),
    },
    seeds=2,
    watch=_check_biscotti,
    hostile=Setup(
        protocol=_PATIENT, world=f"[network]\n{NORMAL}\n{MODELLED}", parties=10, rounds=2
    ),
    # What most of the committees have not heard in time is not in the block.
    nothing=Setup(
        protocol="phase_s = 1.0\nlinger_s = 2.0\n",
        world=f"[network]\n{NORMAL}\nloss = 0.95\n{MODELLED}",
        parties=10,
    ),
    # A round goes on as soon as everybody has said what it waits for.
    launched=Setup(
        protocol="aggregation = { rule = 'trimmed_mean', byzantine = 0 }\nsampled = 0.34\n"
        "verifiers = 1\nfaults = 'crash'\nquorum = 2\nphase_s = 4.0\nlinger_s = 10.0\n"
        "[privacy]\nnoisers = 1\nslots = 3\nwindow_s = 0.5\n"
        "mask = { kind = 'gaussian', sigma = 0.01 }\n",
    ),
    as_simulated=False,
    check_launched=_check_launched_peers,
    counted=("as it comes, delayed", "no mask, delayed"),
    # Names and paths through trees are shorter where there are few peers.
    bytes_within=0.25,
    estimated={
        "Announce": "news of a block goes round until everybody has heard of it",
        "Want": "asks for as many blocks as are missing, and none is known to be",
        "Opened": "one slot may be opened for several, and who has burnt it opens none",
    },
)

# ------------------------------------------------------------------ somebody else's

MEDIANS_CASE = Case(
    record=MEDIANS,
    calm={
        "short form": Setup(protocol="step = 0.5"),
        "decay": Setup(protocol="step = { size = 0.5, decay = 0.5 }", training=UPDATES["gradient"]),
        "delayed": Setup(world=DELAYED),
    },
    ideal=lambda run: medians_ideal(
        run.stage.cast.roles[SERVER].keywords["agreed"], run.stage.engine.run
    ),
    rough={"attacked": Setup(protocol="deadline_s = 1.0", world=everything("server"))},
    faults={name: Setup(protocol="deadline_s = 1.0", world=FAULTS[name]) for name in FAULTS}
    | {
        "crash after a round": Setup(
            world=f"[network]\n{NORMAL}\n[faults]\n"
            'crashes = [{ node = "server", at_s = 0.8, restart_after_s = 0.1 }]',
            protocol="deadline_s = 1.0",
        )
    },
    seeds=1,
    watch=nobody_watches,
    hostile=Setup(protocol="deadline_s = 1.0", world=FAULTS["calm"]),
    nothing=Setup(protocol="deadline_s = 1.0", world=NOBODY),
    launched=Setup(protocol="step = 0.5", parties=3),
    as_simulated=True,
    counted=("short form", "delayed"),
    uncounted={"Done": "is sent once, in the end"},
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        FEDERATED_CASE,
        DSSGD_CASE,
        CENTRALISED_CASE,
        STANDALONE_CASE,
        TORMENTOR_CASE,
        BISCOTTI_CASE,
        MEDIANS_CASE,
    )
}
