"""Links share what they carry as a fluid would."""

import numpy as np
import pytest

simpy = pytest.importorskip("simpy")

from fcdcc_keras.simulation.links import Network, SharedLink  # noqa: E402


def carry(rate, arrivals):
    """Returns when each transfer, (start, bytes), is through."""
    env = simpy.Environment()
    link = SharedLink(env, rate)
    ends = [0.0] * len(arrivals)

    def transfer(index, start, nbytes):
        yield env.timeout(start)
        yield link.transfer(nbytes)
        ends[index] = env.now

    for index, arrival in enumerate(arrivals):
        env.process(transfer(index, *arrival))
    env.run()
    return ends


def fluid(rate, arrivals):
    """The same by following all of them from one change to the next."""
    left = dict(enumerate(nbytes for _, nbytes in arrivals))
    ends, now = [0.0] * len(arrivals), 0.0
    while left:
        flowing = [i for i in left if arrivals[i][0] <= now]
        coming = [arrivals[i][0] for i in left if arrivals[i][0] > now]
        each = rate / len(flowing) if flowing else 0.0
        step = min(
            [at - now for at in coming] + [left[i] / each for i in flowing],
        )
        for i in flowing:
            left[i] -= each * step
        now += step
        for i in [i for i in flowing if left[i] <= 1e-9]:
            ends[i] = now
            del left[i]
    return ends


def test_equal_transfers_end_together():
    assert carry(100.0, [(0.0, 50.0)] * 4) == pytest.approx([2.0] * 4)


@pytest.mark.parametrize("seed", range(5))
def test_transfers_share_the_link_as_a_fluid(seed):
    rng = np.random.default_rng(seed)
    arrivals = list(
        zip(rng.uniform(0, 3, 40).tolist(), rng.uniform(1, 9, 40).tolist(), strict=True)
    )
    assert carry(50.0, arrivals) == pytest.approx(fluid(50.0, arrivals), rel=1e-9)


def test_a_workers_own_link_is_a_limit_too():
    env = simpy.Environment()
    network = Network(env, 2, bandwidth=100.0, worker_bandwidth=10.0, latency=1.0)
    there = []

    def send():
        there.append((yield from network.up(0, 50.0)))
        there.append((yield from network.up(0, 50.0)))

    env.process(send())
    env.run()
    # Through the client's link, 5 s each through its own, and half of the latency.
    assert there == pytest.approx([6.0, 11.0])
