"""Observing: traces of what workers did, and the report on the layers."""

from fcdcc_keras.observe.report import LayerReport, Report, report
from fcdcc_keras.observe.trace import Summary, Trace

__all__ = ["LayerReport", "Report", "Summary", "Trace", "report"]
