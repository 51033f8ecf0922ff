"""Asking scheduler and workers what they have, and getting workers ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.subtask import Convolution, KernelShare, run_subtask
from fcdcc_keras.execution.worker_side import install
from fcdcc_keras.version import __version__

if TYPE_CHECKING:
    from distributed import Client

PROBE_TIMEOUT = 30.0
"""Seconds that each of them gets to say what it has installed."""
WARM_UP_TIMEOUT = 180.0
"""Seconds that the workers get to load TensorFlow, all at once on one machine."""


async def check_software(client: Client, addresses: Sequence[str]) -> None:
    """Checks that scheduler and workers have this version of the package.

    Raises:
        ClusterError: One of them does not, or says nothing.
    """
    probe = _make_probe()
    answers = await asyncio.gather(
        _said(client.run_on_scheduler(probe, False, asynchronous=True)),
        *(
            _said(_ask_worker(client, probe, address), PROBE_TIMEOUT)
            for address in addresses
        ),
    )
    wrong = [
        f"{where}: {said}"
        for where, said in zip(("scheduler", *addresses), answers, strict=True)
        if said != __version__
    ]
    if wrong:
        raise ClusterError(
            f"Scheduler and workers must have fcdcc_keras {__version__}, as this "
            "client has, and the workers TensorFlow. Received: "
            f"{'; '.join(wrong)}. Install the same version there (`pip install "
            "fcdcc_keras[cpu]`) and start them again."
        )


async def warm_up(client: Client, addresses: Sequence[str]) -> None:
    """Has every worker load TensorFlow and convolve once.

    It takes a weak machine tens of seconds, which would count as straggling.

    Raises:
        ClusterError: A worker cannot.
    """
    answers = await asyncio.gather(
        *(
            _said(_convolve_once(client, address), WARM_UP_TIMEOUT)
            for address in addresses
        )
    )
    wrong = [
        f"{where}: {said}"
        for where, said in zip(addresses, answers, strict=True)
        if said != "ready"
    ]
    if wrong:
        raise ClusterError(
            f"Every worker must convolve within {WARM_UP_TIMEOUT:g} s of being asked. "
            f"Received: {'; '.join(wrong)}. Look into the logs of these workers, or "
            "leave them out."
        )


async def admit(client: Client, address: str) -> str | None:
    """Gets one worker ready that has joined later.

    Returns:
        What is wrong with it, or None.
    """
    try:
        await check_software(client, [address])
        await warm_up(client, [address])
        await install_handler(client, [address])
    except Exception as error:  # whatever it was, the worker cannot be used
        return str(error)
    return None


async def install_handler(client: Client, addresses: Sequence[str]) -> None:
    """Installs what answers ``direct`` requests."""
    await client.run(install, workers=list(addresses), asynchronous=True)


async def _ask_worker(
    client: Client, probe: Callable[[bool], str], address: str
) -> str:
    answers = await client.run(
        probe, True, workers=[address], on_error="return", asynchronous=True
    )
    return str(answers.get(address, "it left the cluster"))


async def _convolve_once(client: Client, address: str) -> str:
    conv = Convolution((1, 1), (1, 1), (0, 0), (0, 0))
    ones = np.ones((1, 1, 1, 1), np.float32)
    future = client.submit(
        run_subtask,
        KernelShare(ones),
        ones,
        conv,
        key=f"fcdcc:warm_up-{client.id}-{address}",
        workers=[address],
        pure=False,
    )
    reply = await future
    return reply["error"] or "ready"


async def _said(asking: Awaitable[Any], timeout: float = PROBE_TIMEOUT) -> str:
    try:
        return str(await asyncio.wait_for(asking, timeout))
    except asyncio.TimeoutError:
        return f"no answer within {timeout:g} s"
    except Exception as error:  # whatever went wrong there is what they said
        return f"{type(error).__name__}: {error}"


def _make_probe() -> Callable[[bool], str]:
    # A function made inside a function travels by value: it runs even where the
    # package is missing, and can say so.
    def probe(needs_tensorflow: bool) -> str:
        from importlib.util import find_spec

        if find_spec("fcdcc_keras") is None:
            return "fcdcc_keras is not installed"
        if needs_tensorflow and find_spec("tensorflow") is None:
            return "TensorFlow is not installed"
        from fcdcc_keras.version import __version__ as version

        return version

    return probe
