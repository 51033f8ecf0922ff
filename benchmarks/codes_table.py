"""The table of docs/codes.md: how much codes amplify rounding errors.

Prints Markdown: for each n and δ the median, the 99th percentile and the worst found
of α over survivor sets, of near-square splits but for the one-sided quaternions.
Certificates that are not over all sets are marked with an s. Two minutes.
"""

from __future__ import annotations

import click
from threadpoolctl import threadpool_limits

from fcdcc_keras.codes import Code, certify, get
from fcdcc_keras.planning.comparing.designs import kinds

CASES = ((6, 4), (10, 8), (18, 16), (20, 16), (24, 16), (40, 32), (60, 32))


def columns(workers: int, threshold: int) -> dict[str, Code]:
    """Returns the codes to compare, by the headings of their columns."""
    split = {k: v[0] for k, v in kinds(workers, workers - threshold).items()}
    quaternion, random = split["quaternion"], get("quaternion")
    k_a, k_b = quaternion.k_a, quaternion.k_b
    return {
        "CRME, q = n": split["crme"],
        "quaternion": quaternion,
        "quaternion, seed 1": random(k_a, k_b, workers, seed=1),
        "quaternion, k_B = 1": random(4 * threshold, 1, workers),
        "the same, seed 1": random(4 * threshold, 1, workers, seed=1),
        "rotation": split["rotation"],
        "Khatri-Rao": split["khatri_rao"],
        "systematic, Gaussian": split["systematic, gaussian"],
        "systematic, quaternion": split["systematic, quaternion"],
    }


def figure(number: float) -> str:
    """Returns two digits, in tens only where they are many."""
    return f"{number:.2g}" if number < 100 or number >= 1e5 else f"{number:.0f}"


@click.command()
@click.option("--samples", default=10_000, show_default=True, help="Survivor sets.")
@click.option("--largest", default=60, show_default=True, help="Largest n.")
def main(samples: int, largest: int) -> None:
    """Certifies the codes and prints the table."""
    threadpool_limits(1)  # further ones gain little on small matrices, and spin
    headings = list(columns(6, 4))
    click.echo(f"| n, δ | {' | '.join(headings)} |")
    click.echo("|---" * (len(headings) + 1) + "|")
    for workers, threshold in CASES:
        if workers > largest:
            break
        cells = []
        for code in columns(workers, threshold).values():
            found = certify(code, samples=samples)
            text = " / ".join(
                figure(alpha)
                for alpha in (
                    found.amplification_median,
                    found.amplification_99,
                    found.amplification_worst,
                )
            )
            cells.append(text if found.exact else f"{text} s")
        click.echo(f"| {workers}, {threshold} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
