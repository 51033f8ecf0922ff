"""The worker that clusters start by the name of its class."""

import asyncio

import pytest

from fcdcc_keras.worker import Worker


@pytest.mark.parametrize(
    ("options", "seconds"), [({}, 60), ({"death_timeout": "5 s"}, 5)]
)
def test_it_ends_where_its_scheduler_is_gone(options, seconds):
    """Else one that starts anew while its cluster ends looks for it for ever."""

    async def made():
        return Worker("tcp://127.0.0.1:1", **options).death_timeout

    assert asyncio.run(made()) == seconds
