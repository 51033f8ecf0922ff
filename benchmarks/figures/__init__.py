"""``fcdcc-keras bench``: what coded layers cost beside their peers, in one run.

Every figure is a ratio or a difference of times that were measured in turn, so that
whatever else the machine does meets all of them alike; see ``interleave``.
"""
