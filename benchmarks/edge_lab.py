"""How well the edge lab keeps what it promises: rates, quotas, and its own pace.

Prints JSON; needs root: `sudo .venv/bin/python -m benchmarks.edge_lab`.
`link_mbit_per_s`: what one link carries to a device and back. `slowdown_times_quota`:
time of a convolution under the quota, over its CPU time without, times the quota; 1 is
exact. `used`: share of the quota that was used, less than 1 where other programs took
the cores. `up_seconds`, `down_seconds`: for all devices, with workers that have loaded
TensorFlow, and bare.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import closing

import click

from cluster.edge_lab import Device, edge_lab, isolate

_MEGABYTES = 40
_SERVE = f"""
import socket, sys
with socket.create_connection(("198.18.0.1", 5000)) as link:
    left = {_MEGABYTES} << 20
    while left:
        left -= len(link.recv(1 << 20))
    link.sendall(b"!")
    for _ in range({_MEGABYTES}):
        link.sendall(bytes(1 << 20))
    link.recv(1)
"""
_CONVOLVE = """
import json, sys, time
import numpy as np, tensorflow as tf
from cluster.edge_lab import warm

tf.config.threading.set_intra_op_parallelism_threads(1)
size, channels = map(int, sys.argv[1:])
x = tf.constant(np.ones((1, size, size, channels), "float32"))
kernel = tf.constant(np.ones((3, 3, channels, channels), "float32"))

def measure(seconds):
    wall, cpu, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < wall + seconds:
        tf.nn.conv2d(x, kernel, 1, "SAME").numpy()
        calls += 1
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls

measure(1)
base, _ = measure(2)
warm()
measure(0.5)
print(json.dumps([base, *measure(6)]))
"""


@click.command()
@click.option("--devices", default=6, show_default=True)
@click.option("--cpu", default=0.25, show_default=True, help="Share of a core.")
def main(devices: int, cpu: float) -> None:
    """Measure the edge lab."""
    isolate()
    result: dict[str, object] = {"load_before": os.getloadavg()[0]}
    with edge_lab(1, cpu=None, workers=False) as lab:
        result["link_mbit_per_s"] = {
            rate: _rates(lab.devices[0], rate)
            for rate in ("100mbit", "200mbit", "1gbit")
        }
    result["convolutions"] = {
        f"{size}x{size}x{channels}, {share} cores": _slowdown(share, size, channels)
        for share in (cpu, 2 * cpu)
        for size, channels in ((14, 128), (56, 64), (112, 128))
    }
    for name, workers in (("with_workers", True), ("bare", False)):
        start = time.perf_counter()
        with edge_lab(devices, cpu=cpu, workers=workers):
            up = time.perf_counter() - start
            start = time.perf_counter()
        down = time.perf_counter() - start
        result[name] = {"up_seconds": up, "down_seconds": down}
    result["load_after"] = os.getloadavg()[0]
    click.echo(json.dumps(result, indent=1))


def _rates(device: Device, rate: str) -> list[float]:
    device.set_rate(rate)
    server = socket.create_server(("198.18.0.1", 5000))
    process = device.start([sys.executable, "-c", _SERVE])
    link, _ = server.accept()
    with closing(server), process, link:
        start = time.perf_counter()
        for _ in range(_MEGABYTES):
            link.sendall(bytes(1 << 20))
        link.recv(1)
        middle = time.perf_counter()
        left = _MEGABYTES << 20
        while left:
            left -= len(link.recv(1 << 20))
        end = time.perf_counter()
    megabits = _MEGABYTES * (1 << 20) * 8e-6
    return [megabits / (middle - start), megabits / (end - middle)]


def _slowdown(cpu: float, size: int, channels: int) -> dict[str, float]:
    with edge_lab(1, cpu=cpu, workers=False) as lab:
        command = [sys.executable, "-c", _CONVOLVE, str(size), str(channels)]
        said = lab.run_on_device(0, command, warm_up=True, timeout=120).stdout
    base, busy, slowed = json.loads(said.splitlines()[-1])
    return {"slowdown_times_quota": slowed / base * cpu, "used": busy / slowed / cpu}


if __name__ == "__main__":
    main()
