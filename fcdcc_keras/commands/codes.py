"""``fcdcc-keras codes``."""

from __future__ import annotations

import json

import click


def _partition(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Returns the split that KA,KB stands for."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(
            "A split must be two positive integers with a comma between them. "
            f"Received: {value!r}. Write for example --partition 4,4."
        )
    return int(parts[0]), int(parts[1])


@click.command(name="codes")
@click.option("--workers", type=int, required=True, help="n, the number of workers.")
@click.option(
    "--stragglers",
    type=int,
    default=1,
    show_default=True,
    help="γ, the workers that may be missing.",
)
@click.option(
    "--partition",
    metavar="KA,KB",
    callback=_partition,
    help="Only codes that cut the input into KA blocks and the kernel into KB. "
    "[default: each code's near-square split, and the one that cuts only the input]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="Random survivor sets, where there are too many to try all.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON list, one object for each row; infinite numbers are null.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also draw α against n and against γ: png, svg or pdf by the suffix. Each "
    "point is a near-square split over 500 random survivor sets. Takes up to a minute; "
    "needs matplotlib.",
)
def codes(
    workers: int,
    stragglers: int,
    partition: tuple[int, int] | None,
    samples: int,
    as_json: bool,
    plot: str | None,
) -> None:
    """Compare the codes for n workers of which γ may be missing.

    For each code: how much float32 rounding grows in the median, at the 99th
    percentile and in the worst case over survivor sets. The most exact is what
    code="auto" takes where costs are equal. Survivor sets that cannot be decoded
    at all count as infinite.
    """
    from rich.console import Console

    from fcdcc_keras.coding.blas import single_threaded_blas
    from fcdcc_keras.commands.progress import Stages
    from fcdcc_keras.planning.comparing.comparison import compare_codes

    if plot is not None:
        from fcdcc_keras.observe.code_plot import plot_codes
        from fcdcc_keras.observe.plotting import check_plotting

        check_plotting(plot)  # before the minute that certifying may take
    # For many small matrices further threads gain little, and on a busy machine they
    # cost minutes.
    with (
        single_threaded_blas(),
        Stages(Console(stderr=True)) as stages,
        stages.stage("certifying codes") as stage,
    ):

        def done(design: object, total: int) -> None:
            stage.expect(total)
            stage()

        comparison = compare_codes(
            workers, stragglers, partition=partition, samples=samples, done=done
        )
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(str(comparison), nl=False)
    if plot is not None:
        with single_threaded_blas():
            plot_codes(workers, stragglers, plot)
