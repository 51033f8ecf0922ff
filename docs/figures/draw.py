"""Draws the figures of the documentation, from the package's own numbers.

    python docs/figures/draw.py

writes them beside this file; a test compares them with what is there. Those of
simulations are in `simulation.json`, which
`python -m benchmarks.simulate sizes --amplification` prints.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from html import escape
from pathlib import Path

from fcdcc_keras.codes import CRME
from fcdcc_keras.partition import AxisPartition, ConvGeometry, SizedProgram
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.programs import Convolution, MaxPool, Program

INK, PALE, LINE = "#263238", "#eceff1", "#90a4ae"
COLOURS = ("#5c6bc0", "#26a69a", "#ffa726", "#ec407a")
"""Of parts and blocks."""
LOST = "#e53935"


class Picture:
    """Shapes of an SVG picture, in pixels from the top left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" '
            'font-family="system-ui, sans-serif" font-size="14">',
            f"<title>{escape(title)}</title>",
            # Pages may be dark.
            f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        ]

    def box(
        self,
        corner: tuple[float, float],
        size: tuple[float, float],
        fill: str = PALE,
        line: str = LINE,
        opacity: float = 1,
    ) -> None:
        (x, y), (width, height) = corner, size
        self.lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" '
            f'fill="{fill}" fill-opacity="{opacity:g}" stroke="{line}"/>'
        )

    def text(
        self, x: float, y: float, words: str, anchor: str = "middle", colour: str = INK
    ) -> None:
        self.lines.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(words)}</text>"
        )

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], colour: str = INK
    ) -> None:
        (x, y), (u, v) = start, end
        self.line(start, end, colour)
        angle = math.atan2(v - y, u - x)
        wings = [
            f"{u - 8 * math.cos(angle + turn):.1f},{v - 8 * math.sin(angle + turn):.1f}"
            for turn in (0.4, -0.4)
        ]
        points = f"{u:g},{v:g} {' '.join(wings)}"
        self.lines.append(f'<polygon points="{points}" fill="{colour}"/>')

    def line(
        self, start: tuple[float, float], end: tuple[float, float], colour: str = INK
    ) -> None:
        (x, y), (u, v) = start, end
        self.lines.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{u:g}" y2="{v:g}" stroke="{colour}" '
            'stroke-width="1.5"/>'
        )

    def curve(
        self, points: list[tuple[float, float]], colour: str, dashed: bool = False
    ) -> None:
        words = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.lines.append(
            f'<polyline points="{words}" fill="none" stroke="{colour}" '
            f'stroke-width="2.5"{dashes}/>'
        )

    def circle(self, x: float, y: float, radius: float, fill: str, line: str) -> None:
        self.lines.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" '
            f'stroke="{line}"/>'
        )

    def svg(self) -> str:
        return "\n".join([*self.lines, "</svg>", ""])


def layer() -> str:
    """One layer over six workers of which two are missing."""
    picture = Picture(760, 330, "One layer over six workers, two of them missing")
    for x, words in ((20, ["input X", "split", "encode"]), (600, ["decode", "merge"])):
        picture.text(x + 70, 34, "your process")
        for row, word in enumerate(words):
            y = (85 if len(words) == 3 else 110) + 60 * row
            picture.box((x + 15, y), (110, 36))
            picture.text(x + 70, y + 23, word)
            if row:
                picture.arrow((x + 70, y - 24), (x + 70, y - 2))
    picture.text(380, 34, "workers, each with its share of the kernel")
    fates = ["answers", "is stopped", "answers", "answers", "has died", "answers"]
    for worker, fate in enumerate(fates):
        y = 52 + 40 * worker
        answers = fate == "answers"
        picture.box((290, y), (180, 30), "#e8f5e9" if answers else "#ffebee")
        picture.text(380, y + 20, f"worker {worker} {fate}")
        picture.arrow((147, 223), (286, y + 15), INK if answers else LINE)
        if answers:
            picture.arrow((474, y + 15), (611, 128))
        else:
            picture.text(490, y + 20, "×", colour=LOST)
    picture.arrow((670, 208), (670, 238))
    picture.text(670, 258, "output Y")
    picture.text(215, 312, "n = 6 coded inputs go out", colour=INK)
    picture.text(560, 312, "any δ = 4 results decide", colour=INK)
    return picture.svg()


def apcp() -> str:
    """The input of a layer cut along its height."""
    geometry = ConvGeometry((8, 8), 1, 1, (3, 3), padding="same")
    cut = AxisPartition(geometry.axis(0), 4)
    row = 26
    picture = Picture(760, 350, "APCP cuts the input into overlapping bands of rows")
    picture.text(100, 30, "input X, 8 rows")
    picture.text(335, 30, f"4 parts, {cut.input_rows} rows each")
    picture.text(620, 30, f"their outputs, {cut.output_rows} rows each")
    above, _ = geometry.pads[0]
    height = geometry.input_size[0]
    for r in range(-above, height + above):
        zeros = not 0 <= r < height
        y = 60 + row * (r + above)
        picture.box((40, y), (120, row), "#ffffff" if zeros else PALE)
        picture.text(100, y + 18, "zeros" if zeros else f"row {r}")
    for part, colour in enumerate(COLOURS):
        top = 60 + row * (cut.offset + part * cut.step + above)
        x = 230 + 55 * part
        picture.box((x, top), (45, row * cut.input_rows), colour, colour, 0.45)
        picture.text(x + 22, top + row * cut.input_rows / 2 + 5, f"X{'₀₁₂₃'[part]}")
        bottom = 60 + row * (above + part * cut.output_rows)
        picture.box((560, bottom), (120, row * cut.output_rows), colour, colour, 0.45)
        picture.text(620, bottom + row + 5, f"rows {2 * part}, {2 * part + 1} of Y")
    picture.arrow((460, 190), (540, 190))
    picture.text(500, 178, "∗ K")
    return picture.svg()


def blocks() -> str:
    """The kernel cut by output channels, and the blocks of the output."""
    picture = Picture(760, 300, "KCCP cuts the kernel; the output falls into blocks")
    picture.text(130, 30, "kernel K, cut by output channels")
    for block in range(2):
        x = 40 + 95 * block
        picture.box((x, 110), (85, 90), LINE, INK, 0.25 + 0.4 * block)
        picture.text(x + 42, 160, f"K{'₀₁'[block]}")
    picture.text(490, 30, "output Y, cut by rows and channels")
    for part, colour in enumerate(COLOURS):
        y = 60 + 52 * part
        picture.text(345, y + 30, f"X{'₀₁₂₃'[part]}")
        for block in range(2):
            x = 370 + 130 * block
            picture.box((x, y), (120, 44), colour, colour, 0.25 + 0.4 * block)
            name = f"{'₀₁₂₃'[part]}{'₀₁'[block]}"
            formula = f"X{'₀₁₂₃'[part]} ∗ K{'₀₁'[block]}"
            picture.text(x + 60, y + 27, f"Y{name} = {formula}")
    picture.text(690, 160, "k_A = 4")
    picture.text(690, 180, "k_B = 2")
    return picture.svg()


def crme() -> str:
    """The coefficients of CRME for six workers."""
    code = CRME(8, 1, 6)
    picture = Picture(760, 360, "The mixtures that six workers get, any four suffice")
    picture.text(150, 34, "worker w: rotations by w·θ, θ = 2π/6")
    picture.circle(150, 190, 90, "none", LINE)
    for worker in range(code.workers):
        angle = worker * 2 * math.pi / code.workers
        x, y = math.cos(angle), -math.sin(angle)
        picture.line((150, 190), (150 + round(90 * x, 1), 190 + round(90 * y, 1)), LINE)
        picture.circle(150 + 90 * x, 190 + 90 * y, 8, COLOURS[0], INK)
        picture.text(150 + 114 * x, 195 + 114 * y, f"{worker}")
    matrix = code.input_matrix
    picture.text(530, 34, "matrix A: what each worker's 2 inputs hold of 8 parts")
    for column in range(matrix.shape[1]):
        worker, x = divmod(column, code.ell_a)[0], 340 + 32 * column
        if column % code.ell_a == 0:
            picture.text(x + 32, 62, f"w = {worker}")
        for part in range(matrix.shape[0]):
            value, y = matrix[part, column], 72 + 32 * part
            fill = COLOURS[0] if value > 0 else COLOURS[2]
            picture.box((x, y), (30, 30), fill, PALE, round(abs(value), 2))
    for part in range(matrix.shape[0]):
        picture.text(328, 92 + 32 * part, f"X{'₀₁₂₃₄₅₆₇'[part]}", "end")
    picture.text(530, 350, "blue: added, orange: subtracted; the paler, the less")
    return picture.svg()


def latency() -> str:
    """Simulated latency of VGG16 over the number of workers."""
    data = json.loads(Path(__file__).with_name("simulation.json").read_text("utf-8"))
    law = "a tenth of the time ten times slower"
    left, right, top, bottom = 70, 560, 60, 370
    low, high = 0.5, 50.0

    def place(n: float, seconds: float) -> tuple[float, float]:
        across = math.log(n / 6) / math.log(1000 / 6)
        up = math.log(seconds / low) / math.log(high / low)
        return left + across * (right - left), bottom - up * (bottom - top)

    picture = Picture(
        760, 430, "Simulated latency of VGG16 over n, with one in ten slow"
    )
    picture.text(315, 30, "VGG16, one image, each worker slow a tenth of the time")
    for seconds in (0.5, 1, 2, 5, 10, 20, 50):
        y = place(6, seconds)[1]
        picture.line((left, y), (right, y), PALE)
        picture.text(left - 8, y + 5, f"{seconds:g} s", "end")
    for row in data["sizes"]:
        x = place(row["workers"], low)[0]
        picture.line((x, bottom), (x, bottom + 5), LINE)
        picture.text(x, bottom + 22, f"{row['workers']}")
    picture.text(315, bottom + 46, "workers n (γ = n/5 with the code)")
    named = {
        "coded": ("with the code", "#3949ab"),
        "speculative": ("copies of late parts", "#fb8c00"),
        "uncoded": ("waiting for all", LOST),
    }
    for row, (name, (words, colour)) in enumerate(named.items()):
        for figure in ("p99", "median"):
            points = [
                place(each["workers"], each[law][name][figure])
                for each in data["sizes"]
            ]
            picture.curve(points, colour, dashed=figure == "p99")
        for x, y in points:
            picture.circle(x, y, 4, colour, "#ffffff")
        y = 130 + 30 * row
        picture.line((586, y - 5), (606, y - 5), colour)
        picture.circle(596, y - 5, 4, colour, "#ffffff")
        picture.text(612, y, words, "start")
    picture.text(586, 230, "solid: median", "start")
    picture.text(586, 252, "dashed: 99 of 100", "start")
    return picture.svg()


def tile() -> str:
    """A tile of three layers, with what it needs of each map."""
    same = (1, 1), (1, 1), ((1, 1), (1, 1))
    chain = Program(
        channels=(1,),
        rank=2,
        operations=(
            Convolution((0,), (0,), *same),
            Convolution((1,), (0,), *same),
            MaxPool((2,), (), (2, 2), (2, 2), ((0, 0), (0, 0))),
        ),
        weights=((3, 3, 1, 1),),
    )
    size = 24
    sized = SizedProgram(chain, [(1, size, size, 1)])
    boxes = grid(sized.shapes[-1], (1, 2, 3))
    chosen = 1
    needed = sized.needed(boxes[chosen])
    picture = Picture(760, 320, "A tile of three layers, and what it needs")
    names = "input", "after a convolution 3×3", "after another", "after pooling"
    side, colour = 150, COLOURS[0]
    for number, (name, shape) in enumerate(zip(names, sized.shapes, strict=True)):
        x, y = 22 + 187 * number, 70
        cell = side / shape[1]
        picture.text(x + side / 2, 44, name)
        picture.box((x, y), (side, side))
        rows, columns = needed[number][1:]
        picture.box(
            (x + cell * columns.start, y + cell * rows.start),
            (cell * len(columns), cell * len(rows)),
            colour,
            colour,
            0.35,
        )
        picture.text(x + side / 2, 244, f"{len(rows)} × {len(columns)}")
        scale = shape[1] / sized.shapes[-1][1]
        for box in boxes:
            across, down = box[2].start * scale, box[1].start * scale
            if across:
                picture.line(
                    (x + cell * across, y), (x + cell * across, y + side), LINE
                )
            if down:
                picture.line((x, y + cell * down), (x + side, y + cell * down), LINE)
        if number:
            picture.arrow((x - 33, y + side / 2), (x - 5, y + side / 2))
    even = [len(each) for each in boxes[chosen][1:]]
    picture.text(
        380,
        286,
        f"the second of 2 × 3 tiles: {even[0]} × {even[1]} of the output need "
        f"{len(needed[0][1])} × {len(needed[0][2])} of the input",
    )
    return picture.svg()


FIGURES: dict[str, Callable[[], str]] = {
    "layer": layer,
    "apcp": apcp,
    "blocks": blocks,
    "crme": crme,
    "tile": tile,
    "latency": latency,
}


def main() -> None:
    """Writes all figures."""
    for name, draw in FIGURES.items():
        path = Path(__file__).with_name(f"{name}.svg")
        path.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
