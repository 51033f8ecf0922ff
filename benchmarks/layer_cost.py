"""What a coded layer costs beyond its convolution: prints JSON.

`python -m benchmarks.layer_cost`, with the options of `fcdcc-keras bench`.
"""

from fcdcc_keras.bench.command import run_family

if __name__ == "__main__":
    run_family("layer_cost")
