"""Codes: generator matrices, encoding, decoding, conditioning. NumPy only."""

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.certificate import Certificate
from fcdcc_keras.codes.certify import certify
from fcdcc_keras.codes.chebyshev import Chebyshev
from fcdcc_keras.codes.crme import CRME, odd_q
from fcdcc_keras.codes.decoding import Decoder
from fcdcc_keras.codes.khatri_rao import KhatriRao
from fcdcc_keras.codes.quaternion import Quaternion
from fcdcc_keras.codes.registry import from_dict, get, names
from fcdcc_keras.codes.replication import Replication
from fcdcc_keras.codes.rotation import Rotation
from fcdcc_keras.codes.systematic import Systematic
from fcdcc_keras.codes.uncoded import Uncoded
from fcdcc_keras.codes.vandermonde import Vandermonde

__all__ = [
    "CRME",
    "Certificate",
    "Chebyshev",
    "Code",
    "Decoder",
    "KhatriRao",
    "Quaternion",
    "Replication",
    "Rotation",
    "Systematic",
    "Uncoded",
    "Vandermonde",
    "certify",
    "from_dict",
    "get",
    "names",
    "odd_q",
]
