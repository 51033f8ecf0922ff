"""Parity over the life of layers: who is waited for, named, left out, given up."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from fcdcc_keras.codes import CRME, Code, Quaternion, Replication, Systematic
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.coding.job import Job
from fcdcc_keras.coding.verify import collector_for, judge
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.errors import CorruptResultError, NotEnoughWorkersError
from fcdcc_keras.execution.executors.local import LOST, LocalExecutor, LocalFault
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan

CODE = CRME(4, 4, 6)  # any 4 of 6
CODES = [CODE, Systematic(2, 2, 6), Quaternion(8, 2, 6), Replication(2, 1, 6)]
GEOMETRY = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
_RNG = np.random.default_rng(0)
INPUTS = _RNG.standard_normal((2, 9, 7, 3)).astype("float32")
KERNEL = _RNG.standard_normal((3, 3, 3, 6)).astype("float32")


def _wrong(result: np.ndarray) -> np.ndarray:
    result = result.copy()
    result[0, 1, 0, 0] += 0.01 * result.std()
    return result


LIE = LocalFault(alter=_wrong)


class Layer:
    """A coded convolution on a LocalExecutor, all of whose answers are checked."""

    def __init__(
        self,
        code: Code = CODE,
        faults: Any = None,
        *,
        hedged: bool = False,
        **policy: Any,
    ) -> None:
        self.executor = LocalExecutor(code.workers, faults)
        self.records: list[LayerRecord] = []
        policy = {"fallback": "raise", "verify": "parity", **policy}
        plan = LayerPlan.of("block/conv", GEOMETRY, code, hedged=hedged)
        notes = Notes([self.records.append])
        self.coded = CodedConvolution(plan, self.executor, Policy(**policy), notes)

    def check(self) -> LayerRecord:
        import tensorflow as tf

        plain = tf.nn.conv2d(INPUTS, KERNEL, 1, "SAME").numpy()
        outputs = self.coded(INPUTS, KERNEL)
        np.testing.assert_allclose(outputs, plain, rtol=0, atol=1e-4)
        return self.records[-1]

    def outcomes(self) -> list[str]:
        return [subtask.outcome for subtask in self.records[-1].subtasks]


def _job(code: Code) -> Job:
    """Returns what the executor is given for a layer."""
    jobs: list[Job] = []

    class Spy(LocalExecutor):
        def run(self, job: Job) -> tuple[Collector, list[np.ndarray]]:
            jobs.append(job)
            return super().run(job)

    policy = Policy(verify="parity")
    plan = LayerPlan.of("block/conv", GEOMETRY, code)
    CodedConvolution(plan, Spy(code.workers), policy)(INPUTS, KERNEL)
    return jobs[0]


@pytest.mark.parametrize("hedged", [False, True])
def test_one_more_than_needed_is_waited_for_and_used(hedged: bool) -> None:
    layer = Layer(hedged=hedged)
    record = layer.check()
    assert len(record.survivors) == 5
    rest = "skipped" if hedged else "late"
    assert sorted(layer.outcomes()) == sorted([*["used"] * 5, rest])


def test_plain_blocks_and_one_parity_when_hedged() -> None:
    layer = Layer(Systematic(2, 2, 6), hedged=True)
    # Nothing is decoded; the fifth is but a witness.
    assert layer.check().survivors == (0, 1, 2, 3)
    assert sorted(layer.outcomes()) == ["skipped", *["used"] * 5]


def test_copies_are_compared_and_one_of_each_is_taken() -> None:
    layer = Layer(Replication(2, 1, 6))
    assert layer.check().survivors == (0, 1)
    assert layer.outcomes() == ["used"] * 4 + ["late"] * 2


@pytest.mark.parametrize("hedged", [False, True])
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_whoever_lies_is_named_left_out_and_distrusted(
    code: Code, hedged: bool
) -> None:
    honest = Layer(code, hedged=hedged).check()
    for liar in (s.worker for s in honest.subtasks if s.outcome == "used"):
        layer = Layer(code, {liar: LIE}, hedged=hedged)
        match = rf"local-{liar} gave a result of layer 'block/conv' that contradicts"
        with pytest.warns(RuntimeWarning, match=match) as caught:
            record = layer.check()
        assert len(caught) == 1
        assert record.local is None
        assert liar not in record.survivors
        assert record.subtasks[liar].outcome == "failed"
        assert "contradicts" in record.subtasks[liar].detail
        layer.executor.faults = {}
        record = layer.check()  # without a warning, and without the worker
        assert record.subtasks[liar].sent is None
        assert "contradicted" in record.subtasks[liar].detail
        assert liar not in record.survivors
        assert layer.outcomes().count("used") >= 4


def test_named_with_one_straggler_less_than_the_code_tolerates() -> None:
    # γ = 2, and naming needs δ + 2: nobody may be missing.
    layer = Layer(faults={0: LIE, 4: LOST})
    with pytest.raises(CorruptResultError, match="contradict each other") as caught:
        layer.check()
    message = str(caught.value)
    assert "'block/conv'" in message
    assert "local-4: late" in message
    assert all(f"local-{w}" in message for w in (0, 1, 2, 3, 5))
    assert "Check the workers' machines" in message


def test_a_disagreement_that_nobody_can_settle_is_computed_in_the_client() -> None:
    layer = Layer(faults={0: LIE, 4: LOST}, fallback="local")
    with pytest.warns(RuntimeWarning, match="contradict each other") as caught:
        record = layer.check()
    assert record.local == "results contradict each other"
    assert record.survivors == ()
    assert len(caught) == 1
    assert layer.check().local == record.local  # no second warning
    layer.executor.faults = {}
    assert layer.check().local is None


@pytest.mark.parametrize("missing", list(combinations(range(6), 2)))
def test_parity_tolerates_one_straggler_less(missing: tuple[int, int]) -> None:
    first, second = missing
    layer = Layer(faults={first: LOST})
    assert len(layer.check().survivors) == 5
    layer.executor.faults = {first: LOST, second: LocalFault(error="out of memory")}
    with pytest.raises(NotEnoughWorkersError, match="needs the results of 5 workers"):
        layer.check()


@pytest.mark.parametrize(
    ("code", "liar"), [(CRME(4, 1, 3), 2), (Replication(2, 1, 4), 0)]
)
def test_with_one_straggler_a_lie_is_found_but_nobody_named(
    code: Code, liar: int
) -> None:
    layer = Layer(code)
    assert code.stragglers == 1
    layer.check()
    layer.executor.faults = {liar: LIE}
    with pytest.raises(CorruptResultError, match="contradict each other"):
        layer.check()
    layer.executor.faults = {}
    layer.check()  # everybody is still trusted


def test_two_liars_are_one_too_many() -> None:
    layer = Layer(CRME(4, 1, 6), {1: LIE, 3: LIE})  # any 2 of 6
    with pytest.raises(CorruptResultError):
        layer.check()


def test_liars_one_after_another_until_too_few_are_left() -> None:
    layer = Layer(CRME(4, 1, 5))  # any 2 of 5
    layer.executor.faults = {0: LIE}
    with pytest.warns(RuntimeWarning, match="local-0 gave"):
        layer.check()
    layer.executor.faults = {3: LIE}
    with pytest.warns(RuntimeWarning, match="local-3 gave"):
        layer.check()
    layer.executor.faults = {}
    assert layer.check().survivors == (1, 2, 4)
    layer.executor.faults = {1: LIE}
    with pytest.raises(CorruptResultError):
        layer.check()
    layer.executor.faults = {1: LOST}
    with pytest.raises(NotEnoughWorkersError, match="needs the results of 3 workers"):
        layer.check()


def test_a_late_lie_harms_nobody_and_is_not_used() -> None:
    layer = Layer(faults={2: LocalFault(delay=1.0, alter=_wrong)})
    assert layer.check().survivors == (0, 1, 3, 4, 5)


def test_other_checks_take_what_comes() -> None:
    for verify in ("off", "finite"):
        layer = Layer(faults={0: LIE}, verify=verify)
        with pytest.raises(AssertionError):
            layer.check()
        assert layer.records[-1].survivors == (0, 1, 2, 3)


def test_a_worker_with_two_shares_is_named_for_both() -> None:
    """After others were lost, one worker may have the shares of two."""
    code = CRME(4, 1, 6)
    job = _job(code)
    everyone = collector_for(job, ["a", "b", "c", "d", "b", "e"])
    coded = job.encode(range(6))
    answers = {}
    for slot in range(6):
        array = convolve(coded[slot], *job.placement.held[slot].arrays, job.geometry)
        lies = everyone.records[slot].address == "b"
        answers[slot] = _wrong(array) if lies else array
        everyone.answered(slot, 0.0, array.nbytes)
    given = everyone.question()
    assert given is not None
    assert given["b"] == {1, 4}
    assert everyone.judged(judge(job, given, answers)) == ("b",)
    assert everyone.survivors == (0, 2, 3, 5)
    assert [everyone.records[s].outcome for s in (1, 4)] == ["failed"] * 2
