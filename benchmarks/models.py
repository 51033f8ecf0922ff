"""Whole models on two loopback workers over plain Keras: prints JSON.

`python -m benchmarks.models`, with the options of `fcdcc-keras bench`.
"""

from fcdcc_keras.bench.command import run_family

if __name__ == "__main__":
    run_family("models")
