"""Figures of known devices, for plans of clusters that nobody has measured.

They are approximate. Rates of convolutions are what a well-made float32 library
reaches, not what a data sheet promises: TensorFlow, by which Keras computes in the
client, or the light engine, by which workers do. Where ``exchange`` was not measured it
is what ``message`` is of a client that is such a device: a halo given and one taken are
a message out and one in, as a subtask and its answer are there.
"""

from __future__ import annotations

from pathlib import Path

from fcdcc_keras.checks import json_value
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.calibration import Calibration

_GIGABIT = 0.117e9
"""Bytes per second of payload over a link of 1 Gbit/s."""

PROFILES = {
    # Raspberry Pi 4 (4 Cortex-A72 at 1.5 GHz: 24 G multiply-adds/s at best), as are
    # the client and a switch between them; memory 4 GB/s. Approximate public figures.
    "pi4": Calibration(
        latency=12e-3,
        bandwidth=_GIGABIT,
        worker_rate=9.5e9,
        client_rate=7e9,
        coding_rate=0.8e9,
        worker_bandwidth=_GIGABIT,
        kernel_rate=4e9,
        message=1e-3,
        client_kernel_rate=2e9,
        client_memory_rate=1e9,
        client_operation=0.3e-3,
        worker_memory=2e9,
        worker_memory_rate=2e9,
        worker_operation=0.05e-3,
        engine_rate=9.5e9,
        engine_kernel_rate=4e9,
        engine_memory_rate=2e9,
        engine_operation=0.05e-3,
        exchange=1e-3,
    ),
    # Raspberry Pi 5 (4 Cortex-A76 at 2.4 GHz, memory 12 GB/s). Approximate public
    # figures.
    "pi5": Calibration(
        latency=7e-3,
        bandwidth=_GIGABIT,
        worker_rate=34e9,
        client_rate=25e9,
        coding_rate=2e9,
        worker_bandwidth=_GIGABIT,
        kernel_rate=12e9,
        message=0.4e-3,
        client_kernel_rate=6e9,
        client_memory_rate=3e9,
        client_operation=0.1e-3,
        worker_memory=4e9,
        worker_memory_rate=6e9,
        worker_operation=0.02e-3,
        engine_rate=34e9,
        engine_kernel_rate=12e9,
        engine_memory_rate=6e9,
        engine_operation=0.02e-3,
        exchange=0.4e-3,
    ),
    # Two threads of a burstable x86 server with AVX-512, 2 GB of memory, and a client
    # like it. Approximate public figures; without credits a fifth of the speed.
    "t3.small": Calibration(
        latency=6e-3,
        bandwidth=0.5e9,
        worker_rate=40e9,
        client_rate=35e9,
        coding_rate=4e9,
        worker_bandwidth=0.5e9,
        kernel_rate=12e9,
        message=0.3e-3,
        client_kernel_rate=8e9,
        client_memory_rate=5e9,
        client_operation=0.05e-3,
        worker_memory=1e9,
        worker_memory_rate=8e9,
        worker_operation=0.01e-3,
        engine_rate=40e9,
        engine_kernel_rate=12e9,
        engine_memory_rate=8e9,
        engine_operation=0.01e-3,
        exchange=0.3e-3,
    ),
    # The repository's emulated devices: six of a quarter core each behind 1 Gbit/s, the
    # client on a core of its own. Measured by `fk.calibrate`; what halos take as of
    # "home-lab".
    "edge-lab": Calibration(
        latency=0.6e-3,
        bandwidth=1.4e9,
        worker_rate=13.8e9,
        client_rate=53e9,
        coding_rate=1.6e9,
        worker_bandwidth=0.12e9,
        kernel_rate=2.2e9,
        message=0.6e-3,
        call=5e-3,
        head_start=6.9e-3,
        client_kernel_rate=19e9,
        client_memory_rate=28e9,
        client_operation=4e-6,
        exchange=2e-3,
    ),
    # The same devices, the client a seventh of them, with the same link: a cluster at
    # home. Rates and the link measured by `fk.calibrate`, memory and what each
    # operation takes a quarter of a core's.
    "home-lab": Calibration(
        latency=2e-3,
        bandwidth=116.7e6,
        worker_rate=12.3e9,
        client_rate=12.6e9,
        coding_rate=0.4e9,
        worker_bandwidth=116.7e6,
        kernel_rate=2.2e9,
        message=0.6e-3,
        call=1e-3,
        client_kernel_rate=4.7e9,
        client_memory_rate=7e9,
        client_operation=16e-6,
        worker_memory_rate=3.5e9,
        worker_operation=16e-6,
        engine_rate=11.8e9,
        engine_kernel_rate=4.7e9,
        engine_memory_rate=3.5e9,
        engine_operation=16e-6,
        exchange=2e-3,
    ),
}


def profile(name: str | Path) -> Calibration:
    """Returns the figures of a device.

    Args:
        name: One of ``PROFILES``, or a JSON file of what ``Calibration.to_dict``
            returns.

    Raises:
        PlanError: There is none of this name, or the file has other contents.
    """
    if name in PROFILES:
        return PROFILES[str(name)]
    try:
        return Calibration.from_dict(json_value(Path(name).read_text("utf-8")))
    except PlanError:
        raise
    except (OSError, TypeError, ValueError) as error:
        raise PlanError(
            "A device must be a known one, or a JSON file with a calibration. "
            f"Received: {str(name)!r}: {error}. Known are {', '.join(PROFILES)}; "
            "`fk.calibrate(cluster).to_dict()` is what a file holds."
        ) from error
