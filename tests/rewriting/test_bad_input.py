"""What distribute, plan, report, trace and close refuse, and how they say it."""

import keras
import pytest

import fcdcc_keras as fk
from fcdcc_keras.worker.address import check_address
from fcdcc_keras.worker.process import serve


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])


class Untouchable(fk.LocalExecutor):
    """Fails the test if anything is placed on it."""

    def place(self, name, encode, *, wait=False):
        raise AssertionError("something was placed")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"stragglers": -1}, fk.PlanError, r"at least 0.*Received: stragglers=-1"),
        ({"stragglers": 4}, fk.PlanError, r"less than `workers`.*stragglers=4"),
        ({"stragglers": 4, "workers": 4}, fk.PlanError, r"Received: stragglers=4"),
        ({"stragglers": 1.5}, fk.PlanError, r"integer.*stragglers=1\.5"),
        ({"workers": 0}, fk.PlanError, r"at least one worker.*workers=0"),
        ({"workers": True}, fk.PlanError, r"integer.*workers=True"),
        ({"workers": 9}, fk.ClusterError, r"workers=9, an executor of 4"),
        ({"code": "morse"}, fk.PlanError, r"'crme', .*'uncoded'.*Received: 'morse'"),
        ({"code": 7}, fk.PlanError, r"Received: code=7"),
        ({"code": "uncoded"}, fk.PlanError, r"cannot let 1 of 4.*uncoded"),
        ({"stragglers": "2"}, fk.PlanError, r"integer.*stragglers='2'"),
        ({"layers": ["nope"]}, fk.PlanError, r"Received: 'nope'.*can be coded are"),
        ({"fallback": "pray"}, fk.PlanError, r"Received: fallback='pray'"),
        ({"timeout": 0}, fk.PlanError, r"positive.*timeout=0"),
        ({"timeout": "1m"}, fk.PlanError, r"timeout='1m'"),
        ({"plan": "/no/such/plan.json"}, fk.PlanError, r"Plan\.to_json"),
    ],
)
def test_options_are_refused_before_anything_is_placed(model, options, error, match):
    with pytest.raises(error, match=match) as caught:
        fk.distribute(model, Untouchable(4), **options)
    assert "Received: " in str(caught.value)


NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"layers": 5}, r"`layers` must be.*Received: layers=5"),
        ({"layers": None}, r"`layers` must be.*Received: layers=None"),
        ({"layers": [5]}, r"`layers` must be.*Received: 5"),
        ({"memory_limit": "much"}, r"positive number of bytes.*'much'.*'200MB'"),
        ({"memory_limit": "1.2.3MB"}, r"positive number of bytes"),
        ({"memory_limit": NAN}, r"positive number of bytes.*nan"),
        ({"memory_limit": -1}, r"positive number of bytes.*-1"),
        ({"memory_limit": [5]}, r"positive number of bytes.*\[5\]"),
        ({"prices": 5}, r"must be a Prices.*prices=5"),
        ({"calibration": {}}, r"must be a Calibration.*calibration=\{\}"),
        ({"straggling": "none"}, r"must be a Straggling.*straggling='none'"),
        ({"tolerance": NAN}, r"`tolerance` must be a positive number"),
        ({"tolerance": True}, r"`tolerance` must be a positive number.*True"),
        ({"tolerance": "1e-4"}, r"`tolerance` must be a positive number.*'1e-4'"),
        ({"workers": 10_000}, r"at most. Received: workers=10000"),
        ({"redundancy": ["eager"]}, r"`redundancy` must be one of"),
        ({"objective": 3}, r"`objective` must be one of"),
    ],
)
def test_what_no_plan_can_be_made_by(model, options, match):
    with pytest.raises(fk.PlanError, match=rf"(?s){match}") as caught:
        fk.plan(model, **{"workers": 3, **options})
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize("price", ["a", None, NAN, -1, True])
def test_prices_and_calibrations_are_numbers(price):
    from fcdcc_keras.planning import Calibration

    with pytest.raises(fk.PlanError, match="Received: storage="):
        fk.Prices(storage=price)
    with pytest.raises(fk.PlanError, match="Received: latency="):
        Calibration(price, 1e9, 1e9, 1e9, 1e9)
    with pytest.raises(fk.PlanError, match="Received: message="):
        Calibration(1e-3, 1e9, 1e9, 1e9, 1e9, message=price)


@pytest.mark.parametrize(
    "limit", ["5MB", "5 mb", "5e6", "5000 kB", "4.7683716MiB", 5e6]
)
def test_limits_of_memory_as_dask_has_them(limit):
    from dask.utils import parse_bytes

    from fcdcc_keras.planning.memory import limit_bytes

    assert limit_bytes(limit) == pytest.approx(5e6, rel=1e-7)
    assert limit_bytes(limit) == pytest.approx(parse_bytes(limit), abs=1)


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1", "127.0.0.1", "tls://[::1]", "tcp://:8786", "ws://a/b", "a:b"],
)
def test_addresses_without_a_port_are_refused_at_once(model, address, monkeypatch):
    import distributed

    monkeypatch.delattr(distributed, "Client")  # there is never one
    with pytest.raises(fk.ClusterError, match=r"host and a port.*Received: "):
        check_address(address)
    with pytest.raises(fk.ClusterError, match=r"host and a port"):
        serve(address)


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "a:1", "tls://[::1]:65535", "ws://a:80/b", "inproc://1/2"],
)
def test_addresses_that_may_be_right(address):
    check_address(address)


@pytest.mark.parametrize("cluster", [7, ["tcp://a"], object()])
def test_what_is_no_cluster(model, cluster):
    with pytest.raises(fk.ClusterError, match=r"`cluster` must be .*Received: cluster"):
        fk.distribute(model, cluster)


def test_what_is_no_model():
    with pytest.raises(fk.PlanError, match=r"keras\.Model.*Received: <class 'list'>"):
        fk.distribute([], Untouchable(3))


def test_model_that_is_not_built():
    model = keras.Sequential([keras.layers.Conv2D(4, 3)])
    with pytest.raises(fk.PlanError, match=r"must be built.*Received: 'sequential"):
        fk.distribute(model, Untouchable(3))


def test_model_without_a_convolution():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(fk.PlanError, match=r"must have a layer to code.*Received"):
        fk.plan(model, workers=3)


def test_named_layer_that_cannot_be_coded():
    layers = [keras.layers.Conv2D(4, 3, groups=2, name="g"), keras.layers.Conv2D(4, 3)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *layers])
    code = fk.codes.get("crme")(1, 4, 3)
    match = r"'conv', grouped, can only be coded on the side of its input.*k_b=1"
    with pytest.raises(fk.UnsupportedLayerError, match=match):
        fk.plan(model, workers=3, layers=["g"], code=code)
    plan = fk.plan(model, workers=3, code=code)
    assert [layer.path for layer in plan.layers] == [layers[1].name]
    assert "on the side of its input" in dict(plan.not_coded)["g"]


def test_plan_of_another_model_or_cluster(model):
    other = keras.Sequential([keras.Input((9, 9, 3)), keras.layers.Conv2D(4, 3)])
    plan = fk.plan(other, workers=4)
    with pytest.raises(fk.PlanError, match=r"must be for the model.*Received: layer"):
        fk.distribute(model, Untouchable(4), plan=plan)
    plan = fk.plan(model, workers=5)
    with pytest.raises(fk.PlanError, match=r"workers=4 beside a plan.*by workers=5"):
        fk.distribute(model, Untouchable(4), workers=4, plan=plan)
    with pytest.raises(fk.ClusterError, match=r"workers=5, an executor of 4"):
        fk.distribute(model, Untouchable(4), plan=plan)
    unprotected = fk.plan(model, workers=3, stragglers=0, code="uncoded")
    coded = fk.distribute(model, fk.LocalExecutor(3), plan=unprotected)
    assert coded.layers[0].coded.plan == unprotected.layers[0]


def test_plan_is_used_from_object_text_and_file(model, tmp_path):
    code = fk.codes.get("crme")(4, 4, 6, 7)
    plan = fk.plan(model, workers=6, stragglers=2, code=code)
    path = tmp_path / "plan.json"
    text = plan.to_json(path)
    for given in (plan, text, str(path), path):
        coded = fk.distribute(model, fk.LocalExecutor(6), plan=given)
        assert coded.layers[0].coded.plan == plan.layers[0]


@pytest.mark.parametrize("call", [fk.close, fk.report, fk.trace])
def test_plain_model_is_not_a_coded_one(model, call):
    with pytest.raises(fk.PlanError, match=r"`fk.distribute` returned. Received"):
        call(model)


def test_layer_fails_in_the_middle_of_placing(model):
    class Full(fk.LocalExecutor):
        def place(self, name, encode, *, wait=False):
            placement = super().place(name, encode)
            del placement.held[1]
            return placement

    executor = Full(3)
    with pytest.raises(fk.ClusterError, match="held by 2 of 3 workers"):
        fk.distribute(model, executor)
    assert executor.placements == []
