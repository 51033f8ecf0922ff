"""How exactly do codes decode real convolutions? The literature's comparison, redone.

FCDCC (arXiv:2411.01579) compares codes by the mean squared error and the condition
number of the decoded convolutions of LeNet-5, AlexNet and VGG, up to 60 workers. This
does so, and for ResNet50 too, from n = 5, γ = 1 to n = 60, γ = 28, with every code of
the package that protects against stragglers, in float32 and float64. The cases between
are those whose δ = n − γ every code can split evenly: 4, 8, 16, 32 and again 32.

    python -m examples.paper.numerical_stability --plot stability.svg

Each convolution is cut, coded, computed for all n workers and decoded from random
sets of δ survivors, and from the worst set that certifying the code found. Errors
are relative: the mean squared error over the mean square of the output, against the
plain convolution in float64. A plain float32 convolution has 1e-14 to 1e-12 by this
measure; at 1e-2 a tenth of every value is noise. Inputs and kernels are random, for
the error does not depend on what they hold. Splits are near-square. Takes some
minutes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from threadpoolctl import threadpool_limits

import fcdcc_keras as fk
from examples.paper import experiment
from fcdcc_keras.codes import Certificate, Code
from fcdcc_keras.coding.codec import LayerCodec, kernel_shares
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.observe.plotting import canvas, check_plotting
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.comparing.designs import kinds, may_be_chosen
from fcdcc_keras.text import table

CASES = ((5, 1), (10, 2), (20, 4), (40, 8), (60, 28))  # (n, γ)
DTYPES = ("float32", "float64")


def networks(size: int) -> dict[str, list[ConvGeometry]]:
    """The convolutions to decode, for VGG16 and ResNet50 of images of this side."""
    conv = ConvGeometry
    same = {"padding": "same"}
    return {
        "LeNet-5": [
            conv((32, 32), 1, 6, (5, 5)),
            conv((14, 14), 6, 16, (5, 5)),
            conv((5, 5), 16, 120, (5, 5)),
        ],
        "AlexNet": [
            conv((227, 227), 3, 96, (11, 11), strides=(4, 4)),
            conv((27, 27), 96, 256, (5, 5), **same),
            conv((13, 13), 256, 384, (3, 3), **same),
            conv((13, 13), 384, 384, (3, 3), **same),
            conv((13, 13), 384, 256, (3, 3), **same),
        ],
        "VGG16": [  # one of each of its five stages
            conv((size // shrunk,) * 2, c_in, c_out, (3, 3), **same)
            for shrunk, c_in, c_out in (
                (1, 64, 64),
                (2, 64, 128),
                (4, 256, 256),
                (8, 512, 512),
                (16, 512, 512),
            )
        ],
        "ResNet50": [  # its stem, and one of each kind of its blocks
            conv((size, size), 3, 64, (7, 7), strides=(2, 2), **same),
            conv((size // 4,) * 2, 256, 64, (1, 1)),
            conv((size // 4,) * 2, 64, 64, (3, 3), **same),
            conv((size // 4,) * 2, 256, 512, (1, 1), strides=(2, 2)),
            conv((size // 16,) * 2, 256, 256, (3, 3), **same),
            conv((size // 32,) * 2, 512, 2048, (1, 1)),
        ],
    }


class Answers:
    """What all n workers answer for one layer; decodes those of any survivors."""

    def __init__(
        self, code: Code, layer: ConvGeometry, x: np.ndarray, kernel: np.ndarray
    ) -> None:
        everyone = range(code.workers)
        self.stages = LayerCodec(code, layer, x)
        inputs = self.stages.encode(everyone)
        shares = kernel_shares(code, kernel, everyone)
        conv = self.stages.part
        pairs = zip(inputs, shares, strict=True)
        self.results = [convolve(coded, share, conv) for coded, share in pairs]

    def decode(self, survivors: Sequence[int]) -> np.ndarray:
        survivors = sorted(survivors)
        return self.stages.decode(survivors, [self.results[w] for w in survivors])


def errors(
    code: Code, layer: ConvGeometry, dtype: str, sets: Sequence[Sequence[int]]
) -> list[float]:
    """The relative mean squared error for each survivor set; infinite: refused."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *layer.input_size, layer.channels)).clip(0).astype(dtype)
    kernel = rng.normal(size=(*layer.kernel_size, layer.channels, layer.filters))
    kernel = kernel.astype(dtype)
    exact = convolve(x.astype("float64"), kernel.astype("float64"), layer)
    answers = Answers(code, layer, x, kernel)
    found = []
    for survivors in sets:
        try:
            error = answers.decode(survivors) - exact
        except fk.DecodeError:  # it would be noise, so the decoder refuses
            found.append(math.inf)
        else:
            found.append(float((error**2).mean() / (exact**2).mean()))
    return found


def measure(
    cases: Sequence[tuple[int, int]],
    layers: dict[str, list[ConvGeometry]],
    sets: int,
    samples: int,
) -> Iterator[dict[str, Any]]:
    """Yields one row for each case, code, network, layer and type."""
    for workers, stragglers in cases:
        certified: dict[str, tuple[Code, Certificate]] = {
            kind: (designs[0], fk.codes.certify(designs[0], samples=samples))
            for kind, designs in kinds(workers, stragglers).items()
            if may_be_chosen(designs[0])
        }
        auto = min(certified, key=lambda kind: certified[kind][1].amplification_99)
        rng = np.random.default_rng(1)
        some = [
            sorted(rng.choice(workers, workers - stragglers, replace=False).tolist())
            for _ in range(sets)
        ]
        for kind, (code, found) in certified.items():
            click.echo(f"n = {workers}, γ = {stragglers}: {kind}", err=True)
            for network, geometries in layers.items():
                for i, layer in enumerate(geometries):
                    for dtype in DTYPES:
                        tried = [*some, found.worst_survivors]
                        *random, worst = errors(code, layer, dtype, tried)
                        yield {
                            "workers": workers,
                            "stragglers": stragglers,
                            "code": kind,
                            "chosen": kind == auto,
                            "partition": [code.k_a, code.k_b],
                            "condition_number": {
                                "median": found.condition_median,
                                "worst": found.condition_worst,
                            },
                            "network": network,
                            "layer": i,
                            "dtype": dtype,
                            "mse": {
                                "median": statistics.median(random),
                                "largest": max(random),
                                "worst": worst,
                            },
                        }


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """One table for each case: medians over layers and sets, and the worst."""

    def mse(part: list[dict[str, Any]], which: str) -> str:
        of = statistics.median if which == "median" else max
        value = of([row["mse"][which] for row in part])
        return f"{value:.0e}" if math.isfinite(value) else "refused"

    shown = list(dict.fromkeys(row["network"] for row in rows))
    columns = ["code", "k_A, k_B", "condition", "worst"]
    columns += [*(f"{name} f32" for name in shown), "worst f32", "f64", "worst f64"]
    text = []
    for case in dict.fromkeys((row["workers"], row["stragglers"]) for row in rows):
        of_case = [r for r in rows if (r["workers"], r["stragglers"]) == case]
        lines = []
        for kind in dict.fromkeys(row["code"] for row in of_case):
            part = [row for row in of_case if row["code"] == kind]
            single, double = ([r for r in part if r["dtype"] == t] for t in DTYPES)
            first = part[0]
            lines.append(
                (
                    f"{kind}{' *' if first['chosen'] else ''}",
                    "{}, {}".format(*first["partition"]),
                    f"{first['condition_number']['median']:.1e}",
                    f"{first['condition_number']['worst']:.1e}",
                    *(
                        mse([r for r in single if r["network"] == name], "median")
                        for name in shown
                    ),
                    mse(single, "worst"),
                    mse(double, "median"),
                    mse(double, "worst"),
                )
            )
        title = "n = {}, γ = {}: relative mean squared error (* the most exact)"
        text.append(table(title.format(*case), columns, lines))
    return "\n".join(text)


def draw(rows: Sequence[dict[str, Any]], path: str) -> None:
    """Draws the condition number and the median errors of every code over the cases."""
    figure = canvas(13, 4.8)
    cases = list(dict.fromkeys((r["workers"], r["stragglers"]) for r in rows))
    panels = ("condition number", *(f"mean squared error, {t}" for t in DTYPES))
    for axis, title in zip(figure.subplots(1, 3), panels, strict=True):
        for kind in dict.fromkeys(row["code"] for row in rows):
            heights = []
            for case in cases:
                part = [
                    row
                    for row in rows
                    if (row["workers"], row["stragglers"], row["code"]) == (*case, kind)
                    and (title == panels[0] or row["dtype"] in title)
                ]
                key = "condition_number" if title == panels[0] else "mse"
                value = statistics.median([row[key]["median"] for row in part])
                heights.append(value if math.isfinite(value) else math.nan)
            axis.plot(range(len(cases)), heights, marker="o", markersize=4, label=kind)
        axis.set_yscale("log")
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("workers n, stragglers γ")
        axis.set_xticks(range(len(cases)), [f"{n}, {g}" for n, g in cases])
        axis.grid(alpha=0.25)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center",
                  ncols=4, frameon=False)  # fmt: skip
    figure.suptitle("Decoded convolutions: medians; where a line ends, the decoder "
                    "refuses", fontsize=12)  # fmt: skip
    figure.savefig(path, dpi=150)


@click.command()
@click.option(
    "--size", default=112, show_default=True, help="Of images, in pixels; 224 is usual."
)
@click.option("--sets", default=10, show_default=True, help="Random survivor sets.")
@click.option("--quick", is_flag=True, help="Seconds: LeNet-5, first and last case.")
@experiment.files
def main(
    size: int, sets: int, quick: bool, record: Path | None, picture: str | None
) -> None:
    """Decodes real convolutions by every code, and measures how exactly."""
    if picture is not None:
        check_plotting(picture)
    cases, layers = CASES, networks(size)
    if quick:
        cases, layers, sets = (CASES[0], CASES[-1]), {"LeNet-5": layers["LeNet-5"]}, 3
    # Beside TensorFlow's threads, those of NumPy's BLAS would only spin.
    with threadpool_limits(1, user_api="blas"):
        rows = list(measure(cases, layers, sets, samples=500 if quick else 2000))
    click.echo(summary(rows), nl=False)
    if record is not None:
        experiment.write(record, "in one process", {"size": size, "sets": sets}, rows)
    if picture is not None:
        draw(rows, picture)


if __name__ == "__main__":
    main()
