"""What the seed decides in a world where all is instant."""

from __future__ import annotations


def test_the_order_of_one_instant_depends_on_the_seed(scenario_file, simulated):
    """With no latency everything happens at once; only the shuffle decides who uploads first."""
    orders = {
        simulated(scenario_file('name = "dssgd"\norder = "asynchronous"', seed=seed))
        .go()
        .reports[0]
        .accepted
        for seed in range(4)
    }
    assert len(orders) > 1
