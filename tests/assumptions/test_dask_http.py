"""What is assumed of Dask's HTTP servers beyond its documentation."""

import json
import urllib.request
from types import SimpleNamespace

import pytest
from distributed import LocalCluster
from tornado.web import RequestHandler

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.monitoring import dashboard_internals

pytest.importorskip("bokeh")


@pytest.fixture(scope="module", params=["", "of/it"])
def scheduler(request):
    """A scheduler with a worker that serve HTTP, at the top or below a path."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"http_prefix": request.param},
        memory_limit=0,
    ) as cluster:
        yield cluster.scheduler


@pytest.fixture
def get(scheduler):
    """Returns what a server has at a path, by default the scheduler's."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def got(path, address=f"127.0.0.1:{scheduler.http_server.port}"):
        with opener.open(f"http://{address}{path}", timeout=60) as answer:
            return answer.read().decode()

    return got


class Echo(RequestHandler):
    def initialize(self, given):
        self.given = given

    def get(self):
        self.write(json.dumps(self.given))


def below(scheduler):
    """Returns what the paths of a scheduler's HTTP server begin with."""
    (prefix,) = {dashboard_internals._prefix(scheduler)}
    return prefix


def test_a_running_scheduler_of_distributed_takes_routes(scheduler, get):
    routes = [(r"ours/echo", Echo, {"given": "routed"})]
    dashboard_internals.add_routes(scheduler, routes)
    assert get(f"{below(scheduler)}ours/echo") == '"routed"', "distributed: routes"
    assert get(f"{below(scheduler)}health") == "ok"  # its own are there yet


def test_a_running_dashboard_of_distributed_takes_a_page(scheduler, get):
    from bokeh.models import Div

    seen = []

    def show(document):
        seen.append(document)
        document.add_root(Div(text="ours"))

    served = len(scheduler.http_application.applications)
    paths = {dashboard_internals.add_page(scheduler, "ours", show) for _ in range(2)}
    assert paths == {f"{below(scheduler)}ours"}
    assert len(scheduler.http_application.applications) == served + 1
    page = get(paths.pop())
    assert len(seen) == 1, "distributed: `BokehApplication` asks for each document"
    assert "Bokeh" in page, "distributed: `simple.html` shows a document"
    assert "navbar" in page, "distributed: `simple.html` leads to the other pages"


def test_the_dashboards_pages_of_distributed_link_to_more(scheduler, get):
    get(f"{below(scheduler)}status")  # they are made when somebody looks
    for _ in range(2):
        dashboard_internals.add_link(scheduler, "ours-linked")
    page = get(f"{below(scheduler)}status")
    assert page.count('href="ours-linked"') == 1, "distributed: `template_variables`"


def test_scheduler_and_workers_of_distributed_tell_where_they_serve(scheduler, get):
    found = dashboard_internals.http_addresses(scheduler)
    (worker,) = scheduler.workers.values()
    assert [(role, name) for _, role, name in found] == [
        ("scheduler", "scheduler"),
        ("worker", str(worker.name)),
    ]
    assert found[0][0] == f"127.0.0.1:{scheduler.http_server.port}"
    assert get("/health", found[1][0]) == "ok"


def test_workers_of_distributed_without_a_server_are_left_out(scheduler):
    worker = SimpleNamespace(address="tcp://[::1]:5", services={}, name="bare")
    other = SimpleNamespace(address="tcp://[::1]:6", services={"dashboard": 7}, name=3)
    few = SimpleNamespace(
        address="inproc://127.0.0.1/1/1",
        services={"dashboard": SimpleNamespace(port=5)},
        workers={1: worker, 2: other},
    )
    found = dashboard_internals.http_addresses(few)
    assert found == [("[::1]:7", "worker", "3")]


def test_a_distributed_that_has_changed_is_named():
    nothing = SimpleNamespace(workers={})
    for ask in (
        lambda: dashboard_internals.add_routes(nothing, []),
        lambda: dashboard_internals.add_page(nothing, "ours", print),
        lambda: dashboard_internals.http_addresses(nothing),
    ):
        with pytest.raises(ClusterError, match=r"distributed"):
            ask()
