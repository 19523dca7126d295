"""Both ways of checking agree: on RFC 8032's vectors, on random ones, and on what is not quite a signature."""

import sys

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization as io
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.runtime import ed25519

ORDER = 2**252 + 27742317777372353535851937790883648493
VECTORS = (  # RFC 8032, 7.1: tests 1, 2 and 3
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc(key, message, signature, monkeypatch):
    given = bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message)
    assert ed25519.verify(*given)
    assert ed25519.verify_plainly(*given)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert ed25519.verify(*given)
    assert not ed25519.verify(given[0], given[1], given[2] + b"x")
    assert not ed25519.verify(given[0][:31], given[1], given[2])
    assert not ed25519.verify(given[0], given[1][:63], given[2])


def test_both_agree_on_random_ones_and_on_every_kind_of_damage():
    random = np.random.default_rng(8)
    for _ in range(20):
        private = Ed25519PrivateKey.from_private_bytes(random.bytes(32))
        key = private.public_key().public_bytes(io.Encoding.Raw, io.PublicFormat.Raw)
        message = random.bytes(int(random.integers(0, 200)))
        signature = private.sign(message)
        assert ed25519.verify_plainly(key, signature, message)
        position = int(random.integers(0, 512))
        altered = bytearray(signature)
        altered[position // 8] ^= 1 << position % 8
        assert not ed25519.verify_plainly(key, bytes(altered), message)
        other = bytearray(key)
        other[position % 32] ^= 1
        assert not ed25519.verify_plainly(bytes(other), signature, message)


def test_a_second_form_of_a_signature_is_refused():
    """S plus the order is the same number to careless checkers: signatures could be changed without the key."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key = private.public_key().public_bytes(io.Encoding.Raw, io.PublicFormat.Raw)
    signature = private.sign(b"x")
    s = int.from_bytes(signature[32:], "little") + ORDER
    second = signature[:32] + s.to_bytes(32, "little")
    assert not ed25519.verify_plainly(key, second, b"x")
    assert not ed25519.verify(key, second, b"x")


@pytest.mark.parametrize(
    "key",
    [
        (2**255 - 19).to_bytes(32, "little"),  # zero, in a second form
        (2**255 - 1).to_bytes(32, "little"),
        (1 | 1 << 255).to_bytes(32, "little"),  # x is 0 and has a sign
        (2).to_bytes(32, "little"),  # no point has this y
    ],
)
def test_keys_that_are_no_points_are_refused(key):
    assert not ed25519.verify_plainly(key, bytes(64), b"")
