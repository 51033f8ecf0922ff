"""On the scheduler: takes what clients tell of their calls, and has it shown."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from distributed import SchedulerPlugin

from fcdcc_keras.dask_worker_internals import add_handler
from fcdcc_keras.monitoring.ledger import Ledger
from fcdcc_keras.monitoring.messages import HANDLER, Told, Wanted
from fcdcc_keras.monitoring.process import SCHEDULERS


class Figures(SchedulerPlugin):
    """Begins with ``start``, which Dask calls where a client registers it."""

    name = "fcdcc-figures"
    idempotent = True

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._installed = False

    def __reduce__(self) -> tuple[type[Figures], tuple[()]]:
        return Figures, ()  # from client to scheduler

    async def start(self, scheduler: Any) -> None:
        """Begins to take what is told, and to show it."""
        self.install(scheduler)

    def install(self, scheduler: Any) -> None:
        """As ``start``, at once; once, though Dask starts what a preload installs."""
        if self._installed:
            return
        self._installed = True
        from fcdcc_keras.monitoring.serving import serve

        add_handler(scheduler, HANDLER, self.take)
        SCHEDULERS.begin(self.ledger.totals)
        serve(scheduler, self.ledger)

    async def close(self) -> None:
        """Takes note that the scheduler ends."""
        SCHEDULERS.end(self.ledger.totals)

    def take(self, text: str) -> Wanted:
        """Takes a message.

        Returns:
            What the client is to tell from now on.
        """
        self.ledger.take(Told.from_text(text))
        if self.ledger.watched:
            return "events"
        shown = any(map(find_spec, ("prometheus_client", "bokeh")))
        return "sums" if shown else "nothing"

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Takes note that a client has left."""
        self.ledger.left(client)


def show(dask_scheduler: Any) -> None:
    """Has a scheduler show figures from its start on, before a client asks for it.

    Args:
        dask_scheduler: The scheduler, as a preload's ``dask_setup`` gets it.
    """
    if Figures.name not in dask_scheduler.plugins:
        figures = Figures()
        figures.install(dask_scheduler)
        dask_scheduler.add_plugin(figures)
