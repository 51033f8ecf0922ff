"""Simulation of passes over workers that nobody need have: discrete events."""

from fcdcc_keras.simulation.cluster import Death
from fcdcc_keras.simulation.results import LayerTimes, Simulation
from fcdcc_keras.simulation.run import simulate
from fcdcc_keras.simulation.sketch import Sketch, sketch

__all__ = ["Death", "LayerTimes", "Simulation", "Sketch", "simulate", "sketch"]
