"""All that is used of Dask's HTTP servers beyond its documentation.

See ``dask_internals``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from fcdcc_keras.dask_internals import changed_dask, part_of


def add_routes(dask_scheduler: Any, routes: Iterable[tuple[str, Any, Any]]) -> None:
    """Has a running scheduler's HTTP server answer at further paths.

    Args:
        dask_scheduler: The scheduler.
        routes: Pattern of the path, handler and its arguments, as Tornado takes them.
    """
    application, prefix = _application(dask_scheduler), _prefix(dask_scheduler)
    application.add_handlers(
        ".*$", [(prefix + path, handler, given) for path, handler, given in routes]
    )


def add_page(dask_scheduler: Any, name: str, show: Callable[[Any], None]) -> str:
    """Adds a page to a running scheduler's dashboard, if it is not there, by Bokeh.

    Args:
        dask_scheduler: The scheduler.
        name: Its path.
        show: Is given a Bokeh document for each that looks at it.

    Returns:
        Its path on the server.
    """
    application, prefix = _application(dask_scheduler), _prefix(dask_scheduler)
    try:
        from distributed.dashboard.components.scheduler import BOKEH_THEME, env
        from distributed.dashboard.core import BokehApplication
        from distributed.dashboard.scheduler import template_variables

        applications = application.applications
    except (ImportError, AttributeError) as error:
        raise changed_dask(f"pages are added to the dashboard ({error})") from error
    if any(f"/{name}" in getattr(app, "app_paths", ()) for app in applications):
        return prefix + name
    bare = not any(hasattr(app, "app_paths") for app in applications)

    def filled(_: Any, shared: dict[str, Any], document: Any) -> None:
        document.template, document.theme = env.get_template("simple.html"), BOKEH_THEME
        document.template_variables.update(shared)
        show(document)

    # Where Dask's own pages are not served there is nothing to lead to.
    around = {"pages": [], "plots": []} if bare else template_variables(dask_scheduler)
    page = BokehApplication(
        {f"/{name}": filled}, dask_scheduler, prefix, template_variables=around
    )
    application.add_application(page)
    page.initialize(dask_scheduler.loop)
    page.start()
    return prefix + name


def add_link(dask_scheduler: Any, path: str) -> None:
    """Adds a link to what is on top of each page of a dashboard, where there is one."""
    dashboard = sys.modules.get("distributed.dashboard.scheduler")
    if dashboard is None:
        return
    what = "a dashboard's pages are among its template variables"
    pages = part_of(dashboard, "template_variables", what)(dask_scheduler).get("pages")
    if not isinstance(pages, list):
        raise changed_dask(what)
    if path not in pages:
        pages.append(path)


def http_addresses(dask_scheduler: Any) -> list[tuple[str, str, str]]:
    """Returns "host:port" of each HTTP server, whose it is, and the name of that."""
    from distributed.comm import get_address_host  # type: ignore[attr-defined]

    what = "scheduler and workers tell the ports of their HTTP servers"
    try:
        own = dask_scheduler.services["dashboard"].port
        servers = [(dask_scheduler.address, own, "scheduler", "scheduler")]
        for worker in dask_scheduler.workers.values():
            port = worker.services.get("dashboard")
            servers.append((worker.address, port, "worker", str(worker.name)))
    except (AttributeError, KeyError) as error:
        raise changed_dask(f"{what} ({error!r})") from error
    found = []
    for address, port, role, name in servers:
        if port and not address.startswith("inproc://"):
            host = get_address_host(address)
            host = f"[{host}]" if ":" in host else host
            found.append((f"{host}:{port}", role, name))
    return found


def _application(dask_scheduler: Any) -> Any:
    what = "`Scheduler.http_application` answers requests"
    return part_of(dask_scheduler, "http_application", what)


def _prefix(dask_scheduler: Any) -> str:
    """Returns what the paths of a scheduler's HTTP server begin with."""
    applications = part_of(
        _application(dask_scheduler), "applications", "it has several"
    )
    given = [app.prefix for app in applications if hasattr(app, "prefix")]
    return f"{given[0].rstrip('/')}/" if given else "/"
