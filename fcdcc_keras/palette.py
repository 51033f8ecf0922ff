"""Okabe and Ito's colours, which the colour-blind can tell apart, for all pictures."""

from __future__ import annotations

BLUE, RED, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PINK, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
GREY, BLACK = "#7F7F7F", "#000000"
