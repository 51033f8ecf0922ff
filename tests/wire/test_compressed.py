"""Compressed answers: expanded where they are as large as they may be, never beyond."""

import tracemalloc
import zlib

import numpy as np
import pytest
from distributed.protocol.compression import compressions
from distributed.protocol.serialize import Serialized

from fcdcc_keras.wire.requests import bytes_of

CONTENT = bytes(range(256)) * 400
HUGE = 1 << 28


def sent(*frames, **header):
    return Serialized(header, list(frames))


@pytest.mark.parametrize("name", [n for n in compressions if isinstance(n, str)])
def test_what_the_cluster_compresses_is_read(name):
    name, compress, _ = compressions[name]
    for whole in (CONTENT, b"a" * 300, b"b"):
        frame = compress(whole) if name else whole
        answer = sent(frame, compression=(name,))
        assert bytes(bytes_of(answer, len(whole))) == whole
        with pytest.raises(ValueError, match=f"in place of {len(whole) - 1} at most"):
            bytes_of(answer, len(whole) - 1)


def test_frames_share_the_limit():
    packed = zlib.compress(CONTENT)
    answer = sent(packed, b"ab", compression=("zlib", None))
    assert bytes(bytes_of(answer, len(CONTENT) + 2)) == CONTENT + b"ab"
    with pytest.raises(ValueError, match="at most"):
        bytes_of(answer, len(CONTENT) + 1)


BOMBS = {
    "zlib": zlib.compress(bytes(HUGE)),
    "lz4": HUGE.to_bytes(4, "little") + b"...",
    "snappy": bytes([0x80, 0x80, 0x80, 0x80, 1]) + b"...",
    # A header of one segment whose size has 4 bytes, and one with a window.
    "zstd": b"\x28\xb5\x2f\xfd\xa0" + HUGE.to_bytes(4, "little"),
    "zstd, window": b"\x28\xb5\x2f\xfd\x81\x50\x07" + HUGE.to_bytes(4, "little"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_expand_beyond_its_size_is_refused_before(name):
    answer = sent(BOMBS[name], compression=(name.split(",")[0],))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="in place of 1000 at most"):
            bytes_of(answer, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("gzip", b""),
        (7, b""),
        ("snappy", b"\x80" * 9),
        ("zstd", b"abcdefgh"),
        ("zstd", b"\x28\xb5\x2f\xfd\x00\x50"),  # it does not say its size
        ("zlib", b"no such stream"),
    ],
)
def test_nonsense_is_refused(name, frame):
    with pytest.raises((ValueError, zlib.error), match=r"."):
        bytes_of(sent(frame, compression=(name,)), 1000)


def test_as_many_frames_as_the_header_says():
    with pytest.raises(ValueError, match=r"zip"):
        bytes_of(sent(b"a", b"b", compression=(None,)), 1000)


def test_plain_bytes_have_the_same_limit():
    assert bytes(bytes_of(b"abc", 3)) == b"abc"
    with pytest.raises(ValueError, match="in place of 2 at most"):
        bytes_of(np.zeros(3, "u1"), 2)
