"""Selection and exchange of parameters, by hand (Shokri & Shmatikov, CCS 2015, section 5)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.dssgd import steps
from troth.protocols.dssgd.messages import Upload
from troth.protocols.dssgd.parameters import DSSGD
from troth.streams import learning

A = NodeId("a")
DELTA = np.array([0.1, -0.5, 0.0, 0.3, -0.3], np.float32)


def _select(**parameters):
    upload = steps.select(DELTA, Round(1), DSSGD(**parameters), learning(1))
    return upload.indices.tolist(), upload.values.tolist()


def test_largest_takes_absolute_values_and_ties_to_the_lower_index():
    indices, values = _select(upload=0.4)
    assert indices == [1, 3]
    assert values == pytest.approx([-0.5, 0.3])


def test_random_takes_only_values_above_the_threshold():
    for seed in range(20):
        upload = steps.select(
            DELTA, Round(1), DSSGD(upload=0.4, selection="random", threshold=0.2), learning(seed)
        )
        assert set(upload.indices.tolist()) <= {1, 3, 4}
        assert len(upload.indices) == 2
    assert _select(upload=1.0, selection="random", threshold=0.4)[0] == [1]
    assert _select(upload=1.0, selection="random", threshold=9.0) == ([], [])


def test_values_are_clipped_to_gamma():
    assert _select(upload=0.4, bound=0.4)[1] == pytest.approx([-0.4, 0.3])


def test_the_most_updated_parameters_are_offered():
    state = steps.begin(np.arange(5, dtype=np.float32))
    for indices in ([4], [4, 2], [2, 4, 0]):
        chosen = np.array(sorted(indices), np.uint32)
        turn = Round(state.turns.get(A, 0) + 1)
        state = steps.apply_upload(state, Upload(turn, chosen, np.ones(len(chosen), np.float32)), A)
    offered = steps.offer(state, A, 0.4)
    assert offered.round == 4
    assert offered.indices.tolist() == [2, 4]
    assert offered.values.tolist() == [4.0, 7.0]
    taken = steps.take_over(np.zeros(5, np.float32), offered)
    assert taken.tolist() == [0, 0, 4, 0, 7]
    assert steps.take_over(taken, steps.offer(state, A, 1.0)).tolist() == [1, 1, 4, 3, 7]


@given(
    st.integers(1, 60),
    st.floats(0.01, 1.0),
    st.sampled_from(["largest", "random"]),
    st.one_of(st.none(), st.floats(0.01, 1.0)),
    st.integers(0, 2**32),
)
def test_what_an_honest_party_selects_is_always_accepted(size, theta, selection, bound, seed):
    delta_D = np.random.Generator(np.random.Philox(seed)).normal(size=size).astype(np.float32)
    parameters = DSSGD(upload=theta, selection=selection, bound=bound, threshold=0.5)
    upload = steps.select(delta_D, Round(1), parameters, learning(seed))
    state = steps.begin(np.zeros(size, np.float32))
    steps.verify_upload(state, upload, parameters, sender=A)
    after = steps.apply_upload(state, upload, A)
    assert after.turns == {A: 1}
    with pytest.raises(PeerError):
        steps.verify_upload(after, upload, parameters, sender=A)
