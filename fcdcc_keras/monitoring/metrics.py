"""``fk.metrics``: what became of this process's calls, for Prometheus."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.monitoring.exposition import Exposition
from fcdcc_keras.monitoring.process import MODELS


class metrics:
    """Serves figures of all coded models of this process, at ``/metrics``.

    They are counted from the start of the process, whether or not anything is served.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Begins to serve.

        Args:
            port: Where; 0: any that is free.
            host: Address of this machine to listen at; "0.0.0.0": all that it has.

        Raises:
            FcdccError: ``prometheus_client`` is missing, or nothing can listen there.
        """
        if find_spec("prometheus_client") is None:
            raise FcdccError(
                "Figures for Prometheus need its library. Received: no module named "
                "'prometheus_client'. Install it with: pip install "
                "'fcdcc-keras[monitoring]'"
            )
        from prometheus_client import CollectorRegistry, start_http_server

        self.registry: Any = CollectorRegistry()
        """What is served, to be served otherwise: a ``prometheus_client`` registry."""
        self.registry.register(Exposition("client", MODELS.totals))
        try:
            started = start_http_server(port, host, self.registry)
        except (OSError, OverflowError) as error:
            raise FcdccError(
                "Figures must be served at a free port of this machine. Received: "
                f"port={port!r}, host={host!r} ({error}). Choose another, or port=0."
            ) from error
        self._server, self._thread = started
        self.port: int = self._server.server_port
        """Where they are served."""

    def close(self) -> None:
        """Ends serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> metrics:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
