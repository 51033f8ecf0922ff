"""Six emulated weak devices; needs root: prints JSON.

`python -m benchmarks.edge`, with the options of `fcdcc-keras bench`.
"""

from fcdcc_keras.bench.command import run_family

if __name__ == "__main__":
    run_family("edge")
