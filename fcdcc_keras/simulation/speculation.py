"""The peer without a code: all parts are needed, and copies of late ones are launched.

When half of a layer's subtasks are done and one takes over three times as long as they
did, a copy of it is launched on another worker, and the first answer counts (Zaharia et
al., OSDI 2008), as ``bench.speculation`` does on real workers. Every worker holds the
whole kernel, so that any can take over any part.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import median

from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.simulation.call import Call, Fate, Subtask
from fcdcc_keras.simulation.cluster import Worker
from fcdcc_keras.simulation.links import Waiting

PATIENCE = 3.0
"""Times the median of the done ones that a subtask may take before it is copied."""


class SpeculativeCall(Call):
    """One layer of which late subtasks are copied."""

    _sent: dict[int, float]
    _durations: list[float]
    _copied: set[int]
    _watching = False

    def _choose(self) -> list[int]:
        return list(range(len(self._cluster)))

    def _fail_slots_of_lost(self) -> None:
        """Does nothing: any worker can compute any part."""

    def lost(self, worker: Worker) -> None:
        """Copies at once what a dead worker was to do."""
        if not self.over:
            for task in [t for t in self._unfinished if t.worker is worker]:
                if self._fates[task.slot] is Fate.SENT:
                    self._copy(task.slot)

    def _start(self, targets: Sequence[int]) -> None:
        self._durations, self._copied = [], set()
        self._sent = dict.fromkeys(targets, self._env.now)
        idle = [w for w in self._cluster.workers if self._is_free(w)]
        taken = {w.index for w in idle}
        # Those whose own workers are free first, so that they keep them.
        for slot in targets:
            if slot in taken:
                self._launch(slot, self._cluster.workers[slot])
        for slot in targets:
            if slot not in taken:
                self._launch(slot, self._freest())

    def _came(self, task: Subtask) -> None:
        if not self.over and self._fates[task.slot] is Fate.SENT:
            self._durations.append(self._env.now - self._sent[task.slot])
        super()._came(task)
        if not self._watching and 2 * len(self._durations) >= len(self._sent):
            self._watching = True
            self._session.spawn(self._watch())

    def _watch(self) -> Waiting:
        """Launches a copy of every subtask that is late, when it is."""
        while not self.over:
            waiting = [
                slot
                for slot, fate in enumerate(self._fates)
                if fate is Fate.SENT and slot not in self._copied
            ]
            if not waiting:
                return
            usual = PATIENCE * median(self._durations)
            now = self._env.now
            due = {slot: self._sent[slot] + usual for slot in waiting}
            for slot in [s for s, at in due.items() if at <= now]:
                self._copy(slot)
                del due[slot]
            if due:
                yield self._env.timeout(min(due.values()) - now)

    def _copy(self, slot: int) -> None:
        self._copied.add(slot)
        on = {t.worker.index for t in self._unfinished if t.slot == slot}
        self._launch(slot, self._freest(on))

    def _freest(self, not_on: Collection[int] = ()) -> Worker:
        """Returns the worker with the least to do."""
        choices = [
            w
            for w in self._cluster.workers
            if w.index not in not_on and not w.health.lost
        ]
        if not choices:
            raise NotEnoughWorkersError(
                f"Some worker must be left for each part of layer {self.load.path!r}. "
                "Received: none that has not died or failed it. Let fewer die."
            )
        return min(choices, key=lambda w: w.health.owes)

    @staticmethod
    def _is_free(worker: Worker) -> bool:
        return not worker.health.owes and not worker.health.lost
