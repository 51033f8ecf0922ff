"""Chains that exchange halos: what workers are told, step by step, and what is kept."""

import numpy as np
import pytest

from fcdcc_keras.coding.exchange import ExchangeJob
from fcdcc_keras.coding.job import Placement
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.stages import part, unpacked_stages
from tests.exchanging import CUTS, CutNetwork

NAMES = ("plain", "residual", "wavenet", "volume")


def job_of(network, inputs=None):
    placements = [
        Placement(chain.name, lambda slots: [], alike=True)
        for chain in network.run.chains
    ]
    inputs = network.inputs if inputs is None else inputs
    return ExchangeJob("run", network.run, placements, inputs, timeout=60.0)


def told(network):
    """Returns what each worker is told, read again."""
    workers = range(len(network.run.sizes))
    addresses = tuple(f"tcp://{slot}" for slot in workers)
    keys = tuple(f"key{n}" for n in range(1, len(network.run.chains)))
    packed = [network.run.stages(slot, addresses, keys) for slot in workers]
    return list(map(unpacked_stages, packed))


def compute(weights, inputs, program):
    return weights.run(inputs, program, NumPyEngine(), 1)


def step_by_step(network, job):
    """Returns what each worker gives the client, and the bytes that were exchanged."""
    stages, moved = told(network), 0
    workers = range(len(stages))
    texts = [job.text_of(slot) for slot in workers]
    results = [
        compute(network.weights[0], x, text)
        for x, text in zip(job.encode(workers), texts, strict=True)
    ]
    for chain, weights in enumerate(network.weights[1:]):
        given = {}
        for slot in workers:
            for address, box in stages[slot][chain].gives:
                assert (address, slot) not in given
                given[address, slot] = results[slot][part(box)]
        moved += sum(halo.nbytes for halo in given.values())
        for slot in workers:
            stage = stages[slot][chain]
            assert stage.share == f"key{chain + 1}"
            inputs = np.full(stage.shape, np.nan)
            for source, target in stage.own:
                inputs[part(target)] = results[slot][part(source)]
            for tile, target in stage.takes:
                inputs[part(target)] = given.pop((f"tcp://{slot}", tile))
            assert not np.isnan(inputs).any()
            results[slot] = inputs
        assert not given  # nothing is given that nobody reads
        results = [
            compute(weights, x, stages[slot][chain].program)
            for slot, x in enumerate(results)
        ]
    return results, moved


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", NAMES)
def test_together_they_compute_the_whole(name, cut):
    network = CutNetwork(name, CUTS[cut])
    job = job_of(network)
    results, moved = step_by_step(network, job)
    for slot, result in enumerate(results):
        assert job.nbytes_of(slot) == result.nbytes
        reply = Reply(result, chains=len(network.run.chains))
        assert job.check(reply, slot) is None
        job.keep(slot, result)
    network.check(job.outputs)
    assert network.run.bytes_exchanged == moved


def test_sizes_are_parts_of_all_that_there_is_to_do():
    network = CutNetwork("plain", CUTS["uneven"])
    images = len(network.inputs)
    assert len(network.run.sizes) == 2
    assert all(len(each) == len(network.run.chains) for each in network.run.sizes)
    pieces = job_of(network).pieces()
    assert [piece.home for piece in pieces] == ["home0", "home1"]
    assert [piece.size for piece in pieces] == [sum(s) for s in network.run.sizes]
    # Halos are computed by each for itself: together it is more than the whole.
    assert images <= sum(piece.size for piece in pieces) < 1.5 * images
    assert pieces[0].size < pieces[1].size
    assert {piece.kind for piece in pieces} == {("tiles", "run")}


def test_in_a_rehearsal_each_is_by_itself():
    network = CutNetwork("plain", CUTS["rows"])
    keys = tuple(f"key{n}" for n in range(1, len(network.run.chains)))
    among = told(network)
    for slot in range(3):
        alone = unpacked_stages(network.run.stages(slot, (), keys))
        assert [(stage.gives, stage.takes) for stage in alone] == [((), ())] * len(keys)
        for one, other in zip(alone, among[slot], strict=True):
            assert one.own == other.own
            assert (one.share, one.program) == (other.share, other.program)


def test_a_result_of_another_chain_is_none():
    """Chains may well yield what has the same shape."""
    network = CutNetwork("wavenet", CUTS["rows"])
    job, chains = job_of(network), len(network.run.chains)
    first = network.run.chains[0].tiles[0].tile.output
    assert first == network.run.chains[-1].tiles[0].tile.output
    result = np.zeros((*map(len, first), network.run.chains[0].shape[-1]))
    assert job.check(Reply(result, chains=chains), 0) is None
    for computed in (0, 1, chains - 1):
        wrong = job.check(Reply(result, chains=computed), 0)
        assert wrong == f"it computed {computed} chains in place of {chains}"
    assert "raised" in job.check(Reply(error="it raised"), 0)
    assert "not finite" in job.check(Reply(result * np.nan, chains=chains), 0)


def test_what_workers_are_told_is_packed_once_for_a_team_and_its_weights():
    network = CutNetwork("plain", CUTS["rows"])
    keys = tuple(f"key{n}" for n in range(1, len(network.run.chains)))
    team, other = ("a", "b", "c"), ("a", "b", "d")
    packed = [network.run.stages(slot, team, keys) for slot in range(3)]
    assert network.run.stages(1, team, keys) is packed[1]
    assert network.run.stages(1, other, keys) != packed[1]
    changed = network.run.stages(1, team, ("of others", *keys[1:]))
    assert unpacked_stages(changed)[0].share == "of others"
    for number in range(50):  # weights that change again and again
        network.run.stages(0, team, (f"new{number}", *keys[1:]))
    assert len(network.run._packed) <= 4 * len(team)
    assert network.run.stages(1, team, keys) == packed[1]


def test_nothing_is_exchanged_where_only_images_are_cut():
    network = CutNetwork("plain", lambda shape: grid(shape, (2, 1, 1)))
    assert network.run.bytes_exchanged == 0
    for stages in told(network):
        assert [(stage.gives, stage.takes) for stage in stages] == [((), ())] * len(
            stages
        )
