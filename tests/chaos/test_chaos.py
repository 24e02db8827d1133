"""Real nodes of every protocol are killed, frozen, doubled and damaged; `chaos` says what holds."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from schedule import GENTLE, ROUGH, draw

from chaos import CHAOTIC, ROUNDS, Broken, check_models, play, said_at_end
from troth.ids import NodeId
from troth.protocols.registry import PROTOCOLS

SEEDS = {
    "federated": (13, 35),
    "dssgd": (15,),
    "tormentor": (17,),
    "biscotti": (28,),
    "medians": (23,),
}
"""A few, so that all of it takes less than two minutes on two cores: `make chaos` draws others. Of
each protocol the first that has a kind of fault which those above it do not have."""


def test_every_protocol_with_real_nodes_is_tried() -> None:
    assert {record.name for record in PROTOCOLS if record.real_nodes} <= CHAOTIC.keys()
    assert CHAOTIC.keys() == SEEDS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name, seeds in SEEDS.items() for seed in seeds]
)
def test_whatever_goes_wrong_all_end_well_or_say_why(name: str, seed: int, tmp_path: Path) -> None:
    play(name, seed, tmp_path)


def test_faults_follow_from_the_seed_and_every_kind_is_drawn() -> None:
    schedules = [draw(seed, ["one", "two"], ROUNDS) for seed in range(100)]
    assert schedules == [draw(seed, ["one", "two"], ROUNDS) for seed in range(100)]
    assert {fault.kind for each in schedules for fault in each.faults} == {*GENTLE, *ROUGH}
    gentle = [each for each in schedules if each.gentle]
    assert {fault.kind for each in gentle for fault in each.faults} == {*GENTLE}


SENTENCE = '{"error": "was lost", "hint": null, "exit_code": 7}'


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1, SENTENCE),
        (-signal.SIGKILL, ""),
        (-signal.SIGSEGV, ""),
        (130, SENTENCE),
        (7, ""),
        (7, f"{SENTENCE}\n{SENTENCE}"),
        (7, f"Traceback (most recent call last):\n{SENTENCE}"),
        (7, SENTENCE.replace("was lost", "")),
    ],
)
def test_an_end_that_is_not_as_documented_is_noticed(code: int, said: str) -> None:
    with pytest.raises(Broken, match="ends with"):
        said_at_end(code, said, told=False)


def test_ends_that_are_as_documented() -> None:
    assert said_at_end(7, f"warning\n{SENTENCE}\n", told=False) == "was lost"
    assert said_at_end(130, SENTENCE, told=True) == "was lost"
    assert said_at_end(-signal.SIGKILL, "", told=True) == said_at_end(0, "", told=False)


@pytest.mark.parametrize("wrong", [np.nan, 0.5])
def test_another_model_is_noticed(wrong: float) -> None:
    right, other = np.zeros(3, np.float32), np.array([0, wrong, 0], np.float32)
    one, two = NodeId("one"), NodeId("two")
    check_models({one: right, two: right}, right)
    check_models({}, right)
    for models, expected in (({one: other}, right), ({one: right, two: other}, None)):
        with pytest.raises(Broken, match="ended well, with"):
            check_models(models, expected)
