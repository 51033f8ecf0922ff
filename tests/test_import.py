"""What importing the package brings with it, and what it needs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fcdcc_keras as fk
from fcdcc_keras.backend import check_backend
from fcdcc_keras.errors import FcdccError
from tests.lean_keras import LEAN

_HEAVY = {"tensorflow", "keras", "distributed"}


def _python(code: str, **environment: str) -> str:
    """Returns what a fresh interpreter prints."""
    env = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("fcdcc_keras", _HEAVY | {"numpy", "dask"}),
        ("fcdcc_keras.cli", _HEAVY | {"numpy", "dask"}),
        ("fcdcc_keras.worker.process", _HEAVY | {"numpy", "dask"}),
        ("fcdcc_keras.worker.weights", _HEAVY),
        ("fcdcc_keras.codes", _HEAVY),
        ("fcdcc_keras.partition", _HEAVY),
        ("fcdcc_keras.programs", _HEAVY | {"dask"}),
        ("fcdcc_keras.worker.engines.tensorflow", _HEAVY | {"ai_edge_litert"}),
        ("fcdcc_keras.planning", _HEAVY),
        ("fcdcc_keras.simulation", _HEAVY | {"simpy"}),
        ("fcdcc_keras.observe.code_plot", _HEAVY | {"matplotlib"}),
        ("fcdcc_keras.dispatch.collector", _HEAVY),
        ("fcdcc_keras.dask_internals", _HEAVY),
        ("fcdcc_keras.dask_worker_internals", _HEAVY),
        ("fcdcc_keras.execution.executors.local", _HEAVY),
        ("fcdcc_keras.execution.forward.coded_convolution", _HEAVY),
    ],
)
def test_nothing_heavy_is_imported(module: str, unwanted: set[str]) -> None:
    loaded = _python(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert not unwanted & set(loaded)


def test_a_workers_code_is_importable_without_the_clients() -> None:
    imported = "fcdcc_keras.worker.handler, fcdcc_keras.worker.main"
    loaded = _python(f"import sys, {imported}; print(*sys.modules)").split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("fcdcc_keras.")}
    clients = {"coding", "execution", "layers", "planning", "rewriting", "wire"}
    assert "worker" in rooms
    assert not clients & rooms
    assert not {"keras", "tensorflow"} & set(loaded)


@pytest.mark.parametrize(
    "name",
    [
        "codes",
        "certify",
        "FcdccError",
        "Plan",
        "Executor",
        "LocalExecutor",
        "DaskExecutor",
    ],
)
def test_what_needs_no_keras_does_not_import_it(name: str) -> None:
    code = f"import sys, fcdcc_keras as fk; fk.{name}; print(*sys.modules)"
    assert not {"tensorflow", "keras"} & set(_python(code).split())


def test_every_public_name_is_there() -> None:
    assert sorted(fk.__all__) == dir(fk)
    assert len(fk.__all__) == len(set(fk.__all__)) > 30
    for name in fk.__all__:
        value = getattr(fk, name)
        # Coded layers have Keras's names for Keras, which names weights by them.
        own = getattr(value, "__qualname__", getattr(value, "__name__", name))
        own = own.rpartition(".")[2]
        assert own == name


def test_the_backend_is_checked_for_every_name_that_needs_keras() -> None:
    stub = ast.parse(Path(fk.__file__).with_suffix(".pyi").read_text())
    homes = {
        name.name: (each.module or "").partition(".")[0]
        for each in stub.body
        if isinstance(each, ast.ImportFrom)
        for name in each.names
    }
    assert homes.keys() == set(fk.__all__)
    rooms = {"layers", "rewriting", "observe"}
    assert fk._NEED_KERAS == {name for name in homes if homes[name] in rooms}


def test_the_contract_of_names() -> None:
    # DESIGN section 3, as far as issue 2 goes.
    assert set(fk.__all__) >= {
        *("distribute", "plan", "report", "trace", "close", "closing", "codes"),
        *("attach", "load_model"),
        *(
            "certify",
            "CodedConv2D",
            "LocalExecutor",
            "DaskExecutor",
            "Plan",
            "LayerPlan",
        ),
        *("FcdccError", "PlanError", "UnsupportedLayerError", "ClusterError"),
        *("NotEnoughWorkersError", "CorruptResultError", "DecodeError", "__version__"),
    }


@pytest.mark.parametrize(
    "imports",
    [
        "import fcdcc_keras, keras",
        "import keras, fcdcc_keras",
        "import fcdcc_keras, tensorflow, keras",
    ],
)
def test_keras_knows_the_coded_layers(imports: str) -> None:
    code = f"{LEAN}{imports}; print(*keras.saving.get_custom_objects())"
    layers = {f"fcdcc_keras>{name}" for name in fk.__all__ if name.startswith("Coded")}
    assert layers <= set(_python(code).split())


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="No fcdcc_keras attribute turbo"):
        _ = fk.turbo


def test_errors_are_one_hierarchy() -> None:
    specific = [
        fk.PlanError,
        fk.UnsupportedLayerError,
        fk.ClusterError,
        fk.NotEnoughWorkersError,
        fk.CorruptResultError,
        fk.DecodeError,
    ]
    assert all(issubclass(error, FcdccError) for error in specific)
    assert [e for e in specific if issubclass(e, ValueError)] == [fk.PlanError]


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    check_backend()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(FcdccError, match=r"backend. Received: the backend 'jax'"):
        check_backend()
    # What has been asked for before is there.
    monkeypatch.delitem(vars(fk), "distribute", raising=False)
    with pytest.raises(FcdccError, match=r"KERAS_BACKEND=tensorflow"):
        _ = fk.distribute


_TRY = (
    LEAN
    + """
{before}
import fcdcc_keras as fk
for name in {names}:
    try:
        getattr(fk, name)
    except Exception as error:
        print(isinstance(error, fk.FcdccError), type(error).__name__, error)
    else:
        print("no error")
"""
)


# NumPy's backend needs JAX, and PyTorch is not a dependency: Keras itself fails.
@pytest.mark.parametrize("backend", ["numpy", "torch", "no-such-backend"])
def test_another_backend_in_the_environment_is_refused(backend: str) -> None:
    code = _TRY.format(before="", names=["distribute"])
    answer = _python(code, KERAS_BACKEND=backend)
    assert answer.startswith("True FcdccError ")
    assert backend in answer
    assert "Set the environment variable KERAS_BACKEND=tensorflow" in answer


def test_tensorflow_missing_is_said() -> None:
    names = ["distribute", "plan", "CodedConv2D", "trace"]
    code = _TRY.format(before="sys.modules['tensorflow'] = None", names=names)
    answers = _python(code).split("True FcdccError ")[1:]
    assert len(answers) == len(names)
    for answer in answers:
        assert answer.startswith("fcdcc_keras computes with TensorFlow")
        assert "Received: " in answer
        assert "pip install fcdcc_keras[cpu]" in answer


def test_keras_missing_is_said() -> None:
    code = _TRY.format(before="sys.modules['keras'] = None", names=["distribute"])
    answer = _python(code)
    assert answer.startswith("True FcdccError fcdcc_keras distributes models of Keras")
    assert "Received: " in answer
    assert "pip install fcdcc_keras[client]" in answer


@pytest.mark.parametrize("version", ["3.6.0", "2.15.0.dev"])
def test_keras_that_is_too_old_is_refused(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.setattr(keras, "__version__", version)
    with pytest.raises(FcdccError, match=rf"3\.7 or later\. Received: {version}\. Run"):
        check_backend()


def test_the_mathematics_works_without_tensorflow() -> None:
    before = "sys.modules['tensorflow'] = sys.modules['keras'] = None"
    assert _python(_TRY.format(before=before, names=["codes"])) == "no error\n"
