"""One coded layer from its input to its output, on any executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import numpy as np

from fcdcc_keras.coding.codec import (
    LayerCodec,
    kernel_shares,
    output_memory,
)
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.coding.finite import bounded
from fcdcc_keras.coding.job import Job, Placement
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.forward.lanes import in_lanes
from fcdcc_keras.execution.forward.trouble import fall_back, warn_of_liars, warn_once
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy, next_call
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.micro_batches import Part, micro_batches
from fcdcc_keras.planning import LayerPlan

CLOSED = "the model was closed"


class CodedConvolution:
    """A convolution whose kernel is on the workers; call it with inputs."""

    def __init__(
        self,
        plan: LayerPlan,
        executor: Executor,
        policy: Policy,
        notes: Notes | None = None,
    ) -> None:
        self.plan = plan
        self._executor: Executor | None = executor
        self._policy = policy
        self._notes = Notes() if notes is None else notes
        # Noted together and afterwards: whatever interrupts placing a kernel, the
        # next call finds that it is not placed.
        self._placed: tuple[np.ndarray, Placement] | None = None
        self._lock = threading.RLock()

    def __call__(self, inputs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Returns the convolution, computed by the workers.

        Args:
            inputs: X, shape ``(B, H, W, C)``, float32 or float64; H and W may
                differ from those planned for.
            kernel: K, as ``partition.geometry.Kind`` has it; ``(K_H, K_W, C, N)``.
                Where it is not the kernel that the workers hold, they are given the
                new one first.

        Returns:
            Y, shape ``(B, H', W', N)``.

        Raises:
            NotEnoughWorkersError: Too few workers answered in time, and the
                policy's fallback is "raise".
            CorruptResultError: Likewise, where their results contradict each other
                and none can be told to be wrong.
        """
        geometry = _at_size(self.plan.geometry, inputs.shape[1:-1])
        inputs, geometry = geometry.condense(inputs), geometry.condensed
        record = LayerRecord(self.plan.path, next_call(), time.time())
        if inputs.size == 0:
            return self._local(inputs, kernel, geometry, record, "empty batch")
        with self._using(kernel) as (executor, placement):
            if executor is None or placement is None:
                return self._local(inputs, kernel, geometry, record, "not on a cluster")
            output = output_memory(geometry, inputs)

            def run(part: Part) -> None:
                piece, rows = geometry.of_rows(part.rows)
                images, target = inputs[part.images, rows], output[part.images]
                target = target[:, part.rows.start : part.rows.stop]
                mine = replace(record, started=time.time())
                self._coded(executor, placement, piece, images, kernel, target, mine)

            nbytes, batching = inputs.nbytes + output.nbytes, executor.batching
            k_a = self.plan.code.k_a
            parts = micro_batches(len(inputs), geometry, k_a, nbytes, batching)
            in_lanes(parts, run, batching.lanes)
        return output

    def _coded(
        self,
        executor: Executor,
        placement: Placement,
        geometry: ConvGeometry,
        inputs: np.ndarray,
        kernel: np.ndarray,
        output: np.ndarray,
        record: LayerRecord,
    ) -> None:
        """Has the workers convolve a micro-batch, and puts the result into place."""
        codec = LayerCodec(self.plan.code, geometry, inputs)
        dtype, policy = inputs.dtype, self._policy
        collector, results = executor.run(
            Job(
                name=self.plan.path,
                code=self.plan.code,
                placement=placement,
                encode=codec.encode,
                geometry=codec.part,
                result_shape=codec.result_shape,
                dtype=dtype,
                timeout=policy.timeout,
                limit=policy.amplification_limit(dtype.name, geometry.terms),
                hedged=self.plan.hedged,
                verify=policy.verify,
                terms=geometry.terms,
                sparse=policy.sparse and self.plan.code.k_a == 1,
                bounded=lambda: bounded(self.plan.code, geometry, inputs, kernel),
            )
        )
        collected = time.time()
        record = replace(
            record,
            encode=codec.encode_time,
            collect=max(0.0, collected - record.started - codec.encode_time),
            subtasks=tuple(collector.records),
            transport=executor.transport_name,
        )
        warn_of_liars(self._notes, self.plan.path, collector.exposed)
        if not collector.complete:
            # What was closed while it was under way nobody has to be told of.
            closed = CLOSED if self._executor is None else None
            reason = collector.abandoned or closed or self._fall_back(collector)
            output[...] = self._local(inputs, kernel, geometry, record, reason)
            return
        record = replace(record, too_few=self._too_few(executor.left(), collector))
        codec.decode(collector.survivors, results, output)
        decode = time.time() - collected
        self._emit(replace(record, decode=decode, survivors=collector.survivors))

    def place(self, kernel: np.ndarray, *, wait: bool = False) -> Placement | None:
        """Gives the workers the shares of a kernel, unless they have them.

        Kernels are compared whole: a compiled train step changes weights without
        anything in Python noticing, and an answer from stale ones would be wrong
        in silence.

        Args:
            kernel: K, shape ``(K_H, K_W, C, N)``.
            wait: Whether to return only when the workers have them, or will not.

        Returns:
            Where the shares are; None after ``detach``.
        """
        with self._lock:
            executor, old = self._executor, self._placed
            if executor is None:
                return None
            if old is not None and same_bits(old[0], kernel):
                if not kernel.flags.writeable:
                    self._placed = kernel, old[1]  # next time it is known at once
                return old[1]
            kernel = kept(kernel)
            placement = executor.place(
                self.plan.path,
                lambda workers: kernel_shares(self.plan.code, kernel, workers),
                wait=wait,
            )
            self._placed = kernel, placement
            if old is not None and not old[1].users:
                executor.release(old[1])
            return placement

    @property
    def placements(self) -> list[Placement]:
        """Where its shares are, if it has any."""
        return [] if self._placed is None else [self._placed[1]]

    @property
    def needed(self) -> int:
        """Workers without which it cannot be computed there."""
        return self.plan.code.recovery_threshold

    def detach(self) -> None:
        """Frees the shares; from now on the client computes the layer itself."""
        with self._lock:
            executor, self._executor = self._executor, None
            placed, self._placed = self._placed, None
            if executor is not None and placed is not None:
                executor.release(placed[1])

    @contextmanager
    def _using(
        self, kernel: np.ndarray
    ) -> Iterator[tuple[Executor | None, Placement | None]]:
        """Keeps a kernel's shares where they are while another thread changes it."""
        with self._lock:
            executor, placement = self._executor, self.place(kernel)
            if placement is not None:
                placement.users += 1
        try:
            yield executor, placement
        finally:
            with self._lock:
                if placement is not None:
                    placement.users -= 1
                    replaced = self._placed is None or placement is not self._placed[1]
                    if executor is not None and replaced and not placement.users:
                        executor.release(placement)

    def _too_few(self, left: int, collector: Collector) -> int | None:
        """Warns where fewer workers than needed are left, and returns how many."""
        needed = self.plan.code.recovery_threshold + collector.spare
        if left >= needed:
            return None
        warn_once(
            self._notes,
            "too few are left",
            f"Layer {self.plan.path!r} needs the results of {needed} workers. "
            f"Received: {left} of {len(collector.records)}, which have the shares of "
            "the others: the next that is lost or slow will be missed. Start more.",
        )
        return left

    def _fall_back(self, collector: Collector) -> str:
        """Warns that the client computes a layer itself, and returns why."""
        if collector.disputed:
            answered = [collector.records[w].address for w in collector.survivors]
            message = (
                f"The results of layer {self.plan.path!r} must agree. Received: those "
                f"of {', '.join(answered)}, which contradict each other, and no others "
                "to tell whose is wrong"
            )
        else:
            needed = self.plan.code.recovery_threshold + collector.spare
            message = (
                f"Layer {self.plan.path!r} needs the results of {needed} workers, and "
                "of more where those would exceed the tolerance. Received: "
                f"{len(collector.survivors)} (timeout={self._policy.timeout:g} s)"
            )
        return fall_back(
            self._policy,
            self._notes,
            message,
            collector.records,
            disputed=collector.disputed,
        )

    def _local(
        self,
        inputs: np.ndarray,
        kernel: np.ndarray,
        geometry: ConvGeometry,
        record: LayerRecord,
        reason: str,
    ) -> np.ndarray:
        began = time.time()
        outputs = convolve(inputs, kernel, geometry)
        self._emit(replace(record, convolve=time.time() - began, local=reason))
        return outputs

    def _emit(self, record: LayerRecord) -> None:
        for listener in tuple(self._notes.listeners):
            listener(record)


@lru_cache(maxsize=1024)
def _at_size(geometry: ConvGeometry, size: tuple[int, ...]) -> ConvGeometry:
    return replace(geometry, input_size=size)


def same_bits(held: np.ndarray, kernel: np.ndarray) -> bool:
    """Returns whether two arrays are the same, bit by bit."""
    if held.shape != kernel.shape or held.dtype != kernel.dtype:
        return False
    if same_memory(held, kernel):
        return True
    # Bits, not values: a NaN equals itself here, and 0.0 is not −0.0.
    bits = np.dtype(f"u{kernel.itemsize}")
    return np.array_equal(held.view(bits), kernel.view(bits))


def same_memory(held: np.ndarray, kernel: np.ndarray) -> bool:
    """Returns whether two arrays of one shape are one memory that nobody may write to.

    It need not be compared: TensorFlow gives a variable other memory when it
    changes while an array has that which it had.
    """
    writeable = held.flags.writeable or kernel.flags.writeable
    return not writeable and held.ctypes.data == kernel.ctypes.data


def kept(kernel: np.ndarray) -> np.ndarray:
    """Returns an array that stays as it is; itself, if nobody may write to it."""
    return kernel.copy() if kernel.flags.writeable else kernel
