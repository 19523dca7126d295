"""Ed25519 signatures, checked by the package cryptography, or where a device lacks it as RFC 8032 writes it down.

Checking handles nothing secret, so that plain Python, which takes 10 ms, gives nothing away. Nothing is signed here.
"""

import hashlib

_P = 2**255 - 19  # the field
_L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1

Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, xy = T/Z (RFC 8032, 5.1.4)."""


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether a signature of 64 bytes over ``message`` is by the owner of the public key of 32 bytes."""
    if len(key) != 32 or len(signature) != 64:
        return False
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only where it is asked for
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ModuleNotFoundError:
        return verify_plainly(key, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def verify_plainly(key: bytes, signature: bytes, message: bytes) -> bool:
    """Check as RFC 8032 says in 5.1.7, without the cofactor, as OpenSSL does: R is [S]B - [k]A, byte for byte."""
    s = int.from_bytes(signature[32:], "little")
    point = _decode(key)
    if point is None or s >= _L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    x, y, z, t = point
    found = _add(_multiply(s, _base()), _multiply(k, (_P - x, y, z, _P - t)))
    return _encode(found) == signature[:32]


def _base() -> Point:
    y = 4 * pow(5, -1, _P) % _P
    found = _decode(y.to_bytes(32, "little"))
    assert found is not None  # noqa: S101 - a constant
    return found


def _decode(data: bytes) -> Point | None:
    """Return the point of 32 bytes; None where there is none, or they are not its one encoding (5.1.3)."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (not x and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _encode(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _add(one: Point, two: Point) -> Point:
    """Add two points, equal ones too (5.1.4)."""
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(factor: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            found = _add(found, point)
        point = _add(point, point)
        factor >>= 1
    return found
