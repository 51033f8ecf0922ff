"""Several Dask workers in one process, until its standard input is closed.

python -m benchmarks.figures.worker_host SCHEDULER WORKERS
"""

from __future__ import annotations

import asyncio
import sys


async def _serve(scheduler: str, workers: int) -> None:
    from distributed import Worker

    made = [
        Worker(scheduler, nthreads=1, dashboard=False, memory_limit=0)
        for _ in range(workers)
    ]
    await asyncio.gather(*made)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serves until whoever started it goes."""
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
