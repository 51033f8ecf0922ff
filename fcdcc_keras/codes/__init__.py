"""Codes: generator matrices, encoding, decoding, conditioning. NumPy only."""

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.crme import CRME, odd_q
from fcdcc_keras.codes.decoding import Decoder
from fcdcc_keras.codes.registry import from_dict, get, names
from fcdcc_keras.codes.uncoded import Uncoded

__all__ = [
    "CRME",
    "Code",
    "Decoder",
    "Uncoded",
    "from_dict",
    "get",
    "names",
    "odd_q",
]
