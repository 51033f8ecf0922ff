"""Keras's own tests of its convolutional layers, with the coded layers in their place.

They are run from where Keras is installed; its wheels have them. Every layer that is
called attaches itself to four workers, of which another one is missing at each call.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras import layers as coded_layers
from fcdcc_keras.codes import CRME
from fcdcc_keras.execution.executors.local import LOST
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.execution.records import Policy
from fcdcc_keras.layers import CodedLayer, channels_last
from fcdcc_keras.planning import LayerPlan
from fcdcc_keras.worker.weights import Weights

pytestmark = [
    # Keras's tests of fitting pass a generator, and do not say that it is in order.
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
    # Nor do those of LoRA say what becomes of an optimizer that is not built.
    pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning"),
    # Keras's variables are older than NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

WORKERS = 4
CODES = {True: CRME(2, 6, WORKERS), False: CRME(6, 1, WORKERS)}
"""By whether a layer allows a coded kernel; any three of four workers suffice."""
NAMES = [n.removeprefix("Coded") for n in coded_layers.__all__ if "Conv" in n]
FILES = ("conv", "depthwise_conv", "separable_conv", "conv_transpose")
NO_FORWARD_PASS = {
    "test_bad_init_args",
    "test_conv_constraints",
    "test_conv_symbolic_invalid_configuration",
    "test_conv_raises_exception_on_zero_dims",
    "test_lora_weight_name",
    "test_shape_inference_static_unknown_shape",
    "test_enable_lora_with_alpha",
    "test_invalid_output_shape_raises",
    "test_output_padding_serialization",
    "test_keras_has_its_tests",
}
"""Tests about configuration and bad arguments; all others must run subtasks."""


@contextmanager
def _coded_in_place() -> Iterator[None]:
    """Puts the coded layers where Keras's tests find its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            coded = getattr(coded_layers, f"Coded{name}")
            patch.setattr(keras.src.layers, name, coded)
        yield


def _load(name: str) -> ModuleType | None:
    """Returns a module of Keras's tests, made with the coded layers."""
    where = Path(keras.src.layers.__file__).parent / "convolutional"
    path = where / f"{name}_test.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"keras_own_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _coded_in_place():
        spec.loader.exec_module(module)
    return module


def _tests() -> Iterator[tuple[str, type]]:
    for name in FILES:
        module = _load(name)
        for kind in vars(module).values() if module else ():
            own = isinstance(kind, type) and kind.__module__ == f"keras_own_{name}"
            if own and issubclass(kind, keras.src.testing.TestCase):
                yield kind.__name__, kind


globals().update(_tests())


@pytest.fixture(autouse=True)
def _on_workers(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Attaches every layer at its first call, and counts subtasks."""
    executor = fk.LocalExecutor(
        WORKERS, lambda call, worker: LOST if worker == call % WORKERS else None
    )
    subtasks = 0
    plain_call, run = CodedLayer.call, Weights.run

    def counted(*arguments: Any) -> Any:
        nonlocal subtasks
        subtasks += 1
        return run(*arguments)

    def call(self: Any, inputs: Any) -> Any:
        shape = channels_last(self, tuple(inputs.shape))
        if self.coded is None and None not in shape[1:]:
            geometry = self.geometry_of(self, shape)
            plan = LayerPlan.of(self.path, geometry, CODES[geometry.codes_kernel])
            session = Session(executor, lambda: None, Policy("raise"))
            self.attach(session.add(plan), session)
        before = subtasks
        outputs = plain_call(self, inputs)
        if tf.is_tensor(outputs) and hasattr(outputs, "numpy"):
            assert subtasks >= before + 1, f"{self.name} ran no subtask"
        return outputs

    monkeypatch.setattr(Weights, "run", counted)
    monkeypatch.setattr(CodedLayer, "call", call)
    with _coded_in_place():
        yield
    name = request.node.name
    if request.node.call_report.skipped:
        return
    expected = not any(name.startswith(test) for test in NO_FORWARD_PASS)
    assert (subtasks > 0) == expected, f"{name} ran {subtasks} subtasks"


def test_keras_has_its_tests() -> None:
    missing = [name for name in FILES if _load(name) is None]
    if missing:
        pytest.skip(f"Keras {keras.__version__} is installed without tests: {missing}")
