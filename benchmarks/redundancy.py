"""Coded layers over an uncoded split while nobody straggles: prints JSON.

`python -m benchmarks.redundancy`, with the options of `fcdcc-keras bench`.
"""

from fcdcc_keras.bench.command import run_family

if __name__ == "__main__":
    run_family("redundancy")
