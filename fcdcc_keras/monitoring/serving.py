"""What a scheduler's own HTTP server has of ours, beside Dask's pages.

``/metrics``: Dask serves what the global registry of ``prometheus_client`` has.
``/fcdcc/targets``: where Prometheus finds scheduler and workers.
``/fcdcc``: the dashboard's page. Bokeh is imported when somebody first asks for it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from typing import Any

from tornado.web import RequestHandler

from fcdcc_keras.monitoring.dashboard_internals import (
    add_link,
    add_page,
    add_routes,
    http_addresses,
)
from fcdcc_keras.monitoring.exposition import Exposition
from fcdcc_keras.monitoring.ledger import Ledger
from fcdcc_keras.monitoring.process import SCHEDULERS

PAGE = "fcdcc-trace"
_NO_BOKEH = (
    "The page of what workers do needs Bokeh, and distributed's dashboard. Received: a "
    "scheduler without. Install them there: pip install 'fcdcc-keras[monitoring]'\n"
)


def serve(scheduler: Any, ledger: Ledger) -> None:
    """Has a scheduler serve figures.

    ``/metrics`` has those of all schedulers of this process, as Dask's registry is one.
    """
    add_routes(
        scheduler,
        [
            (r"fcdcc/?", Entrance, {"scheduler": scheduler, "ledger": ledger}),
            (r"fcdcc/targets", Targets, {"scheduler": scheduler}),
        ],
    )
    add_link(scheduler, "fcdcc")
    if find_spec("prometheus_client") is not None:
        expose()


@cache
def expose() -> None:
    """Has Prometheus read the sums over this process's schedulers; once is enough."""
    from prometheus_client import REGISTRY

    REGISTRY.register(Exposition("scheduler", SCHEDULERS.totals))


class Targets(RequestHandler):
    """Scheduler and workers, as Prometheus discovers them over HTTP."""

    def initialize(self, scheduler: Any) -> None:
        """Takes whose workers they are; Tornado calls this."""
        self._scheduler = scheduler

    def get(self) -> None:
        """Answers with where each serves its figures."""
        found = [
            {"targets": [address], "labels": {"role": role, "name": name}}
            for address, role, name in http_addresses(self._scheduler)
        ]
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(found))


class Entrance(RequestHandler):
    """Leads to the page, which is made when it is first asked for."""

    def initialize(self, scheduler: Any, ledger: Ledger) -> None:
        """Takes what is shown; Tornado calls this."""
        self._scheduler = scheduler
        self._ledger = ledger

    def get(self) -> None:
        """Answers with the way to the page, or why there is none."""
        if find_spec("bokeh") is None:
            self.set_status(501)
            self.set_header("Content-Type", "text/plain")
            self.write(_NO_BOKEH)
            return
        from fcdcc_keras.monitoring.page import document

        path = add_page(self._scheduler, PAGE, lambda d: document(d, self._ledger))
        self.redirect(path)
