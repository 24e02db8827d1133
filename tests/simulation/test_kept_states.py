"""A simulated node keeps what it saved as it was when it was saved, copied or not."""

from __future__ import annotations

import msgspec
import numpy as np

from troth.wire import Float32s
from troth.worlds.states import KeptState, decode_state, encode_state


class Frozen(msgspec.Struct, frozen=True):
    round: int
    update_D: Float32s
    velocity_D: Float32s | None = None


class Open(msgspec.Struct):
    rounds: list[int]
    update_D: Float32s


def read_only(count: int) -> Float32s:
    array = np.arange(count, dtype=np.float32)
    array.flags.writeable = False
    return array


def test_a_state_that_nobody_can_change_keeps_its_arrays_where_they_are() -> None:
    state = Frozen(1, read_only(1000))
    kept = KeptState(state)
    assert kept.whole() == encode_state(state)
    assert kept._state is state
    assert np.array_equal(decode_state(Frozen, kept.whole()).update_D, state.update_D)


def test_an_array_that_is_changed_later_is_kept_as_it_was() -> None:
    update_D = np.zeros(1000, np.float32)
    kept = KeptState(Frozen(1, update_D))
    before = encode_state(Frozen(1, update_D.copy()))
    update_D += 1
    assert kept.whole() == before


def test_a_list_that_is_changed_later_is_kept_as_it_was() -> None:
    state = Open([1, 2], read_only(1000))
    kept, before = KeptState(state), encode_state(state)
    state.rounds.append(3)
    assert kept.whole() == before
    assert decode_state(Open, kept.whole()).rounds == [1, 2]


def test_a_frozen_state_that_holds_a_list_is_kept_as_it_was() -> None:
    class Holder(msgspec.Struct, frozen=True):
        rounds: list[int]

    rounds = [1]
    kept = KeptState(Holder(rounds))
    rounds.append(2)
    assert decode_state(Holder, kept.whole()).rounds == [1]
