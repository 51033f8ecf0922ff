"""Functions that are sent to others by value, and need nothing of ours there.

They are made inside of functions, and import what they need themselves: so they run
even where the package is missing, or is another version. Only to the same Python: a
function's code means nothing to another. Whoever has another, and the same package, is
sent ``touch`` and ``introduce``, by their names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

Touching = Callable[[], Awaitable[bytes]]


def touching(targets: Sequence[tuple[str, int]], patience: float) -> Touching:
    """Returns what connects to hosts and ports, all at once, and to nothing more.

    Args:
        targets: The hosts and ports.
        patience: Seconds for each.

    Returns:
        What gives, as JSON, of each target how it went, the seconds it took, what the
        system said, and the addresses that the host has.
    """

    async def touch() -> bytes:
        import asyncio
        import json
        import socket
        import threading
        import time

        def connect(host: str, port: int) -> tuple[str, float, str, list[str]]:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                return "unresolved", 0.0, str(error), []
            places = [str(place[0]) for *_, place in found]
            began, how, said = time.monotonic(), "no route", ""
            for family, kind, protocol, _, place in found:
                try:
                    with socket.socket(family, kind, protocol) as trying:
                        trying.settimeout(patience)
                        trying.connect(place)
                        return "open", time.monotonic() - began, "", places
                except ConnectionRefusedError as error:
                    how, said = "refused", str(error)
                except TimeoutError as error:
                    how, said = "dropped", str(error)
                except OSError as error:
                    how, said = "no route", str(error)
            return how, time.monotonic() - began, said, places

        async def one(host: str, port: int) -> tuple[str, float, str, list[str]]:
            # In a thread that nobody waits for: a name may be looked up for minutes.
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            silence: list[str] = []
            found = [("unresolved", 0.0, "no answer in time", silence)]

            def work() -> None:
                outcome = connect(host, port)
                try:
                    loop.call_soon_threadsafe(tell, outcome)
                except RuntimeError:  # the loop has ended
                    return

            def tell(outcome: tuple[str, float, str, list[str]]) -> None:
                found.append(outcome)
                done.set()

            threading.Thread(target=work, daemon=True).start()
            try:
                await asyncio.wait_for(done.wait(), 1.5 * patience)
            except asyncio.TimeoutError:
                pass
            return found[-1]

        return json.dumps(await asyncio.gather(*(one(*t) for t in targets))).encode()

    return touch


async def touch(targets: Sequence[tuple[str, int]], patience: float) -> bytes:
    """Does what ``touching`` returns."""
    return await touching(targets, patience)()


def introduce() -> bytes:
    """Does what ``introducing`` returns."""
    return introducing()()


def introducing() -> Callable[[], bytes]:
    """Returns what says, as JSON, what one of them runs, and what time it is there."""

    def introduce() -> bytes:
        import json
        import platform
        import time
        from importlib import import_module
        from importlib.metadata import version
        from importlib.util import find_spec

        import psutil

        def installed(module: str, *names: str) -> str | None:
            if find_spec(module) is None:
                return None
            for name in names:
                try:
                    return version(name)
                except ImportError:
                    continue
            return "unknown"

        ours = None
        if find_spec("fcdcc_keras") is not None:
            ours = import_module("fcdcc_keras.version").__version__
        packages = {
            **{name: installed(name, name) for name in ("dask", "distributed")},
            "numpy": installed("numpy", "numpy"),
            "fcdcc_keras": ours,
        }
        engines = {
            "light": installed("ai_edge_litert", "ai-edge-litert"),
            "keras": installed("keras", "keras"),
            "tensorflow": installed("tensorflow", "tensorflow", "tensorflow-cpu"),
        }
        said = {
            "python": platform.python_version(),
            "packages": packages,
            "engines": engines,
            "machine": platform.node(),
            "available": float(psutil.virtual_memory().available),
            "time": time.time(),
        }
        return json.dumps(said).encode()

    return introduce
