"""The errors that fcdcc_keras raises, in one hierarchy.

Every message states the rule that was broken, then ``Received: …``, then what
to do about it.
"""


class FcdccError(Exception):
    """Base class of every error that this package raises on purpose."""


class PlanError(FcdccError, ValueError):
    """A code, a partition or a plan that cannot work was asked for."""


class UnsupportedLayerError(FcdccError):
    """A layer was named for coding that cannot be coded."""


class ClusterError(FcdccError):
    """The cluster is unreachable, lost, or its workers do not fit the client."""


class NotEnoughWorkersError(FcdccError):
    """Fewer workers answered in time than a layer needs for decoding."""


class CorruptResultError(FcdccError):
    """Workers returned results that cannot all be true."""


class DecodeError(FcdccError):
    """Results that do not determine the layer's output were to be decoded."""
