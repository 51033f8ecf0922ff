"""Convolutional Keras models on many weak, unreliable machines at once.

    import fcdcc_keras as fk
    coded = fk.distribute(model, client, stragglers=2)
    coded.predict(photos)          # two workers may hang or die: same answer

Nothing is imported until it is used: Dask's scheduler and workers import parts of
this package too, and need neither Keras nor TensorFlow for that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fcdcc_keras.registration import register_with_keras
from fcdcc_keras.version import __version__

if TYPE_CHECKING:
    from fcdcc_keras import codes
    from fcdcc_keras.codes import certify
    from fcdcc_keras.errors import (
        ClusterError,
        CorruptResultError,
        DecodeError,
        FcdccError,
        NotEnoughWorkersError,
        PlanError,
        UnsupportedLayerError,
    )
    from fcdcc_keras.execution.base import Executor
    from fcdcc_keras.execution.calibrate import calibrate
    from fcdcc_keras.execution.dask import DaskExecutor
    from fcdcc_keras.execution.local import LocalExecutor
    from fcdcc_keras.layers import (
        CodedConv1D,
        CodedConv1DTranspose,
        CodedConv2D,
        CodedConv2DTranspose,
        CodedConv3D,
        CodedConv3DTranspose,
        CodedDense,
        CodedDepthwiseConv1D,
        CodedDepthwiseConv2D,
        CodedSeparableConv1D,
        CodedSeparableConv2D,
    )
    from fcdcc_keras.observe.report import report
    from fcdcc_keras.observe.trace import Trace as trace
    from fcdcc_keras.planning import Calibration, LayerPlan, Plan, Prices
    from fcdcc_keras.rewriting.attach import attach, load_model
    from fcdcc_keras.rewriting.distribute import close, closing, distribute
    from fcdcc_keras.rewriting.planner import plan

_HOMES = {
    "ClusterError": "errors",
    "Calibration": "planning",
    "CodedConv1D": "layers",
    "CodedConv1DTranspose": "layers",
    "CodedConv2D": "layers",
    "CodedConv2DTranspose": "layers",
    "CodedConv3D": "layers",
    "CodedConv3DTranspose": "layers",
    "CodedDense": "layers",
    "CodedDepthwiseConv1D": "layers",
    "CodedDepthwiseConv2D": "layers",
    "CodedSeparableConv1D": "layers",
    "CodedSeparableConv2D": "layers",
    "CorruptResultError": "errors",
    "DaskExecutor": "execution.dask",
    "DecodeError": "errors",
    "Executor": "execution.base",
    "FcdccError": "errors",
    "LayerPlan": "planning",
    "LocalExecutor": "execution.local",
    "NotEnoughWorkersError": "errors",
    "Plan": "planning",
    "PlanError": "errors",
    "Prices": "planning",
    "UnsupportedLayerError": "errors",
    "attach": "rewriting.attach",
    "calibrate": "execution.calibrate",
    "certify": "codes",
    "close": "rewriting.distribute",
    "closing": "rewriting.distribute",
    "codes": "codes",
    "distribute": "rewriting.distribute",
    "load_model": "rewriting.attach",
    "plan": "rewriting.planner",
    "report": "observe.report",
    "trace": "observe.trace",
}

register_with_keras()

_NEED_KERAS = ("layers", "rewriting", "observe")


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home.partition(".")[0] in _NEED_KERAS:
        from fcdcc_keras.backend import check_backend

        check_backend()
    module = import_module(f"{__name__}.{home}")
    if name == "codes":
        return module
    return getattr(module, "Trace" if name == "trace" else name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Calibration",
    "ClusterError",
    "CodedConv1D",
    "CodedConv1DTranspose",
    "CodedConv2D",
    "CodedConv2DTranspose",
    "CodedConv3D",
    "CodedConv3DTranspose",
    "CodedDense",
    "CodedDepthwiseConv1D",
    "CodedDepthwiseConv2D",
    "CodedSeparableConv1D",
    "CodedSeparableConv2D",
    "CorruptResultError",
    "DaskExecutor",
    "DecodeError",
    "Executor",
    "FcdccError",
    "LayerPlan",
    "LocalExecutor",
    "NotEnoughWorkersError",
    "Plan",
    "PlanError",
    "Prices",
    "UnsupportedLayerError",
    "__version__",
    "attach",
    "calibrate",
    "certify",
    "close",
    "closing",
    "codes",
    "distribute",
    "load_model",
    "plan",
    "report",
    "trace",
]
