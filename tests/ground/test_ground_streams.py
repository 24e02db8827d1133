"""Random streams depend on seed and path, on all of both, and on nothing else."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth import streams
from troth.streams import Stream

names = st.text(max_size=8) | st.integers(-(2**70), 2**70)
paths = st.lists(names, max_size=5).map(tuple)
seeds = st.integers(0, 2**53)

KEY = 0x626286B1161019D351940F7257874A06
DRAWS = [11956196981875494862, 11673308282539370793]


@given(seeds, paths)
def test_equal_paths_give_equal_draws(seed: int, path: tuple[str | int, ...]) -> None:
    first = Stream(seed, path).generator().random(4)
    again = Stream(seed).child(*path).generator().random(4)
    np.testing.assert_array_equal(first, again)


@given(seeds, seeds, paths, paths)
def test_different_paths_give_different_keys(
    seed: int, other_seed: int, path: tuple[str | int, ...], other: tuple[str | int, ...]
) -> None:
    same = (seed, path) == (other_seed, other)
    assert (Stream(seed, path).key() == Stream(other_seed, other).key()) == same


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("a, b",), ("a", "b")),
        (("a', 'b",), ("a", "b")),
        (("1",), (1,)),
        ((1, 2), (12,)),
        ((), ("",)),
        (("",), ("", "")),
    ],
)
def test_paths_that_look_alike_stay_apart(
    left: tuple[str | int, ...], right: tuple[str | int, ...]
) -> None:
    assert Stream(0, left).key() != Stream(0, right).key()


@given(seeds, paths, paths)
def test_a_child_of_a_child_is_the_whole_path(
    seed: int, head: tuple[str | int, ...], tail: tuple[str | int, ...]
) -> None:
    assert Stream(seed).child(*head).child(*tail) == Stream(seed).child(*head, *tail)


def test_what_one_stream_draws_does_not_depend_on_another() -> None:
    root = streams.learning(5)
    alone = root.child("b").generator().random(3)
    root.child("a").generator().random(1000)
    np.testing.assert_array_equal(root.child("b").generator().random(3), alone)


def test_the_families_are_apart() -> None:
    assert streams.world(1).key() != streams.learning(1).key()


def test_neighbouring_streams_are_not_correlated() -> None:
    """1,000 parties' first draws look uniform: mean within 5 standard errors of 1/2."""
    draws = [streams.learning(0).child(party, 1).generator().random() for party in range(1000)]
    assert abs(float(np.mean(draws)) - 0.5) < 5 * (1 / 12 / 1000) ** 0.5
    assert len(set(draws)) == 1000


def test_keys_never_change() -> None:
    """A changed key would quietly change every published run.

    The key is blake2b-128 of the text (7, 'learning', 'party-3', 12, 'batches'), computed outside
    the project; the draws are the bits of NumPy's Philox, which its policy keeps stable.
    """
    stream = streams.learning(7).child("party-3", 12, "batches")
    assert stream.key() == KEY
    assert stream.generator().bit_generator.random_raw(2).tolist() == DRAWS


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_keys_do_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    program = (
        "from troth import streams;print(streams.learning(7).child('party-3', 12, 'batches').key())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) == KEY


def test_a_generator_is_the_one_that_numpy_makes_of_the_stream_s_key() -> None:
    for number in range(20):
        stream = Stream(number * 2**90, ("law", number))
        ours, numpys = stream.generator(), np.random.Generator(np.random.Philox(key=stream.key()))
        assert repr(ours.bit_generator.state) == repr(numpys.bit_generator.state)
        assert ours.random(9).tolist() == numpys.random(9).tolist()
        copied = pickle.loads(pickle.dumps(ours))
        assert copied.integers(2**60, size=9).tolist() == ours.integers(2**60, size=9).tolist()


@given(seeds, paths, paths)
def test_a_lent_generator_draws_what_a_new_one_does(
    seed: int, path: tuple[str | int, ...], before: tuple[str | int, ...]
) -> None:
    # Draws of 32 bits leave half a word behind, and of 64 bits a part of a block.
    Stream(seed, before).lent_generator().random(3, dtype=np.float32)
    lent, new = Stream(seed, path).lent_generator(), Stream(seed, path).generator()
    assert repr(lent.bit_generator.state) == repr(new.bit_generator.state)
    np.testing.assert_array_equal(lent.permutation(50), new.permutation(50))
    np.testing.assert_array_equal(
        lent.choice(50, 7, replace=False, shuffle=False),
        new.choice(50, 7, replace=False, shuffle=False),
    )
    np.testing.assert_array_equal(lent.random(9), new.random(9))


def test_each_thread_is_lent_a_generator_of_its_own() -> None:
    ours = Stream(1, ("ours",)).lent_generator()
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(Stream(1, ("theirs",)).lent_generator).result()
    assert theirs is not ours
    np.testing.assert_array_equal(ours.random(5), Stream(1, ("ours",)).generator().random(5))
