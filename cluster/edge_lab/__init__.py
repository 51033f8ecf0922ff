"""An emulated cluster of weak devices on one Linux machine; see README.md beside.

from cluster.edge_lab import edge_lab, isolate
isolate()
with edge_lab(devices=6, cpu=0.25, rate="1gbit") as lab:
    coded = fk.distribute(model, lab.scheduler_address, stragglers=2)
    lab.devices[0].stop()
    coded.predict(photos)
"""

from cluster.edge_lab.baseline import warm
from cluster.edge_lab.device import Device
from cluster.edge_lab.isolation import is_isolated, isolate
from cluster.edge_lab.lab import EdgeLab, edge_lab
from cluster.edge_lab.process import DeviceProcess
from cluster.edge_lab.requirements import check_requirements
from cluster.edge_lab.settings import Settings

__all__ = [
    "Device",
    "DeviceProcess",
    "EdgeLab",
    "Settings",
    "check_requirements",
    "edge_lab",
    "is_isolated",
    "isolate",
    "warm",
]
