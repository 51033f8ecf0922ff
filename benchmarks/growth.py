"""Overhead with the number of workers, memory with that of images: prints JSON.

`python -m benchmarks.growth`, with the options of `fcdcc-keras bench`.
"""

from fcdcc_keras.bench.command import run_family

if __name__ == "__main__":
    run_family("growth")
