"""Server and party of `federated`: when each acts. What they decide stands in `steps`.

Source: McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
AISTATS 2017, algorithm 1.
"""

from __future__ import annotations

from functools import partial

from troth.errors import CharterError, RoundFailedError
from troth.ids import NodeId, Round
from troth.learning.requests import LocalUpdate
from troth.protocols.federated import steps
from troth.protocols.federated.messages import MESSAGES, Finished, TrainRequest, Update
from troth.protocols.federated.parameters import Federated
from troth.protocols.federated.steps import PartyState, ServerState
from troth.protocols.protocol import Agreed, Casting
from troth.records import Rejection
from troth.robustness.requests import AggregateUpdates
from troth.roles.node import Cast, Node, Role
from troth.wire import Float32s

SERVER = NodeId("server")

MAX_ATTEMPTS = 1_000
"""Deadlines in a row without enough updates after which the server gives up."""


Plan = Agreed[Federated]
"""What the server and all parties know before the first round; w_0 is its `initial_D`."""


def make_cast(casting: Casting[Federated]) -> Cast:
    """Who plays what: the server, and every party. The run ends when the server has the last model.

    Raises:
      CharterError: a round waits for more updates than there are parties.
    """
    agreed = casting.agreed
    asked = agreed.parameters.asked(len(agreed.parties))
    least = agreed.parameters.at_least
    if least is not None and least > asked:
        raise CharterError(
            f"is more than are asked in a round, of {len(agreed.parties)} parties admitted",
            key="protocol.at_least",
            value=least,
            hint=f"lower it to {asked}, or admit more parties",
        )
    roles: dict[NodeId, Role] = {each: partial(party, plan=agreed) for each in agreed.parties}
    roles[SERVER] = partial(server, plan=agreed)
    return Cast(roles, (SERVER,), MESSAGES)


async def server(node: Node, plan: Plan) -> Float32s:
    """Ask parties to train, wait for their updates, aggregate them, and repeat for all rounds.

    Returns:
      The model after the last round, shape (D,).

    Raises:
      RoundFailedError: too few updates can be used, or too few parties answered within the deadline
        `MAX_ATTEMPTS` times in a row.
    """
    # McMahan et al. 2017, algorithm 1, procedure "Server executes".
    parameters, training = plan.parameters, plan.training
    rule = parameters.aggregation.__struct_config__.tag
    state = await node.load(ServerState) or steps.begin(plan.initial_D)
    while state.round < training.rounds:
        round = Round(state.round + 1)
        asked = steps.choose_parties(plan.parties, parameters.participation, round, node.stream)
        enough = parameters.at_least or (1 if parameters.deadline_s else len(asked))
        awaited = len(asked) if parameters.deadline_s else enough
        # Algorithm 1 has every client of S_t compute ClientUpdate in parallel, and waits for all.
        # Differs from the paper: a deadline or `at_least` may end the wait, because a client that
        # stays away would otherwise stop the training.
        for _ in range(MAX_ATTEMPTS):
            await node.broadcast(asked, TrainRequest(round, state.params_D))
            collected = await node.collect(
                Update,
                round,
                expected=asked,
                enough=awaited,
                deadline_s=parameters.deadline_s,
            )
            usable, rejected = steps.sort_updates(collected.messages, len(state.params_D))
            if len(usable) >= enough:
                break
            if len(collected.messages) == len(asked):
                raise RoundFailedError(
                    f"round {round}: {len(usable)} of {len(asked)} updates can be used, "
                    f"{enough} are needed; {rejected[0].node} {rejected[0].reason}"
                )
            # Without a deadline, parties whose updates are of no use are not what is waited for.
            awaited = min(len(asked), max(awaited, enough + len(rejected)))
        else:
            raise RoundFailedError(
                f"round {round}: fewer than {enough} of {len(asked)} parties answered within "
                f"{parameters.deadline_s} s, {MAX_ATTEMPTS} times in a row",
                hint="raise [protocol] deadline_s, or lower at_least",
            )
        # Algorithm 1: the next model is the mean of the clients' models, weighted by examples.
        # Differs from the paper: clients send updates, which for this mean comes to the same, and
        # `aggregation` may be another rule, because a mean is at the mercy of any one party.
        aggregate = await node.compute(
            AggregateUpdates(
                spec=parameters.aggregation,
                updates=tuple(update.update_D for update in usable.values()),
                examples=tuple(update.examples for update in usable.values()),
                stream=node.stream.child("aggregation", round),
                base=plan.base,
            )
        )
        accepted, missing = list(usable), [p for p in asked if p not in collected.messages]
        if aggregate.share_P is not None:
            shares = dict(zip(usable, aggregate.share_P.tolist(), strict=True))
            accepted = [party for party in usable if shares[party] > 0]
            rejected += [
                Rejection(node=party, reason=f"not selected by {rule}")
                for party in usable
                if shares[party] <= 0
            ]
        state = steps.apply(state, aggregate.update_D, training, parameters)
        # Until the next round is over, nobody needs this one's updates in memory.
        del collected, usable
        await node.report(
            round, state.params_D, accepted=accepted, rejected=rejected, missing=missing
        )
        await node.save(state)
    await node.broadcast(plan.parties, Finished(Round(training.rounds), state.params_D))
    return state.params_D


async def party(node: Node, plan: Plan) -> Float32s:
    """Train on this party's own rows whenever the server asks.

    The last answer is saved before it is sent and sent again after a restart, so a question asked
    twice never gets two different answers.

    Returns:
      The model after the last round, shape (D,), as the server sent it.
    """
    # McMahan et al. 2017, algorithm 1, procedure "ClientUpdate".
    state = await node.load(PartyState)
    while True:
        if state is not None:
            await node.send(SERVER, Update(state.round, state.update_D, state.examples))
        received = await node.receive(TrainRequest, Finished, sender=SERVER)
        assert received is not None
        message = received.message
        if isinstance(message, Finished):
            return message.params_D
        if state is not None and message.round <= state.round:
            continue
        result = await node.compute(
            LocalUpdate(
                node=node.id,
                round=message.round,
                params_D=message.params_D,
                training=plan.training,
                velocity_D=None if state is None else state.velocity_D,
            )
        )
        state = PartyState(message.round, result.update_D, result.examples, result.velocity_D)
        await node.save(state)
