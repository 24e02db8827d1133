"""How the updates of many parties are computed: which path each takes, and in which chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from troth.learning import convolutional, dense, general
from troth.learning.batches import Batches
from troth.learning.chunk import Plan
from troth.learning.forms import ConvolutionalStack, DenseStack
from troth.learning.models import workspace_bytes
from troth.learning.training import Training
from troth.learning.workbench import Workbench

_WORTH_SHARING = 16
"""Parties that are cut into two chunks even if one could hold them."""


@dataclass(frozen=True)
class Piece:
    """The parties of one chunk, by their place among the requests, and how they are computed."""

    plan: Plan
    parties: Sequence[int]


def pieces(
    batches: Sequence[Batches], training: Training, bench: Workbench, *, moving: bool
) -> list[Piece]:
    """All parties, cut into chunks, the same on every machine.

    Parties are sorted by kind of plan, steps and batch size, largest first, and cut where the next
    would not fit into a chunk. Where a plan says so, the chunks of its kind are of even size and in
    even number: many machines have two cores or a multiple of it, and none of them should wait long
    for the last chunk.

    Args:
      moving: whether the parties start with a velocity.
    """
    plans: dict[tuple[int, int, bool], Plan] = {}
    groups: dict[object, list[int]] = {}
    chosen: list[Plan] = []
    for i, batch in enumerate(batches):
        key = (batch.steps, batch.size, batch.size == batch.examples)
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = _plan(batch, training, bench, moving=moving)
        chosen.append(plan)
        groups.setdefault(plan.kind, []).append(i)
    found = []
    for group in groups.values():
        group.sort(key=lambda i: (-batches[i].steps, -batches[i].size, i))
        chunks = list(_chunks(group, chosen, len(group)))
        if chosen[group[0]].even and len(group) >= _WORTH_SHARING:
            count = 2 * -(-len(chunks) // 2)
            chunks = list(_chunks(group, chosen, -(-len(group) // count)))
        found += [Piece(chosen[chunk[0]], chunk) for chunk in chunks]
    return found


def _plan(batch: Batches, training: Training, bench: Workbench, *, moving: bool) -> Plan:
    model = bench.model
    workspace = workspace_bytes(bench.device)
    fits = 4 * batch.size * model.floats_per_example <= workspace
    # Larger batches are cut into slices, which the general path knows how to do.
    if bench.device.type == "cpu" and fits:
        match model.form:
            case DenseStack():
                return dense.plan(model.form, batch, training, moving=moving)
            case ConvolutionalStack():
                return convolutional.plan(model.form, batch, training, model)
    return general.plan(batch, model, workspace)


def _chunks(order: Sequence[int], plans: Sequence[Plan], most: int) -> Iterator[Sequence[int]]:
    """Cut `order` where the next party would not fit into its chunk; at least one in each, and at
    most `most`."""
    chunk: list[int] = []
    largest = 0
    for i in order:
        grown = max(largest, plans[i].bytes_per_party)
        if chunk and (len(chunk) == most or (len(chunk) + 1) * grown > plans[i].chunk_bytes):
            yield chunk
            chunk, grown = [], plans[i].bytes_per_party
        chunk.append(i)
        largest = grown
    if chunk:
        yield chunk
