"""The command line, ``fcdcc-keras``.

The commands import what they need when they run: TensorFlow takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from fcdcc_keras.commands.bench import bench
from fcdcc_keras.commands.demo import demo
from fcdcc_keras.commands.evaluate import evaluate
from fcdcc_keras.commands.plan import plan
from fcdcc_keras.errors import FcdccError


class Commands(click.Group):
    """Shows the package's own errors as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except FcdccError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fcdcc-keras", prog_name="fcdcc-keras")
def main() -> None:
    """Keras CNNs over Dask workers that may stall or die: same answers."""


main.add_command(bench)
main.add_command(demo)
main.add_command(evaluate)
main.add_command(plan)


def _tls_file(name: str, what: str) -> Callable[[Callable[..., None]], Any]:
    return click.option(
        f"--tls-{name}",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help=f"For tls:// addresses: {what}, in PEM.",
    )


@main.command()
@click.argument("address")
@click.option("--name", help="The worker's name.  [default: its address]")
@click.option(
    "--nthreads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads for convolutions.",
)
@click.option(
    "--memory-limit",
    default="auto",
    show_default=True,
    help='Memory the worker may use: "4GB", a share such as "0.5", "auto", or "0" for '
    "no limit.",
)
@click.option(
    "--nanny/--no-nanny",
    default=True,
    show_default=True,
    help="Watch over the worker by a second process, which starts it anew.",
)
@click.option(
    "--gpu",
    type=click.IntRange(min=0),
    metavar="INDEX",
    help="The one GPU to use.  [default: all that TensorFlow sees]",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a scheduler that does not answer yet.",
)
@_tls_file("ca-file", "the authority's certificate")
@_tls_file("cert", "the worker's certificate")
@_tls_file("key", "the worker's private key")
def worker(
    address: str,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    **options: Any,
) -> None:
    """Run one worker for the scheduler at ADDRESS until the scheduler ends it.

    ADDRESS is what the scheduler printed when it was started, for example
    tcp://192.168.1.10:8786. A worker that was cut off from its scheduler comes back,
    as soon as one answers there.
    """
    from fcdcc_keras.execution.worker_process import serve

    files = {"ca-file": tls_ca_file, "cert": tls_cert, "key": tls_key}
    tls = {name: file for name, file in files.items() if file is not None}
    serve(address, tls=tls, **options)


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


@main.command(name="codes")
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
def codes_command(
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
    from fcdcc_keras.execution.blas import single_threaded_blas
    from fcdcc_keras.planning.comparison import compare_codes

    if plot is not None:
        from fcdcc_keras.observe.code_plot import plot_codes
        from fcdcc_keras.observe.plotting import check_plotting

        check_plotting(plot)  # before the minute that certifying may take
    # For many small matrices further threads gain little, and on a busy machine they
    # cost minutes.
    with single_threaded_blas():
        comparison = compare_codes(
            workers, stragglers, partition=partition, samples=samples
        )
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(str(comparison), nl=False)
    if plot is not None:
        with single_threaded_blas():
            plot_codes(workers, stragglers, plot)
