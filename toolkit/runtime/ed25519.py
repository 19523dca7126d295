"""Ed25519 signatures, checked by what the host has: the package cryptography, or the library of OpenSSL.

No arithmetic of our own: where neither is there, nothing is believed.
"""

import ctypes

from toolkit.runtime.errors import UsageError

_LIBRARIES = ("libcrypto.so.3", "libcrypto.so")
_ED25519 = 1087  # NID_ED25519, openssl/obj_mac.h


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether a signature of 64 bytes over ``message`` is by the owner of the public key of 32 bytes."""
    if len(key) != 32 or len(signature) != 64:
        return False
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only where it is asked for
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ModuleNotFoundError:
        return _verify_by_openssl(key, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _verify_by_openssl(key: bytes, signature: bytes, message: bytes) -> bool:
    """Ask libcrypto: https://docs.openssl.org/3.0/man7/Ed25519/."""
    library = _load()
    pkey = library.EVP_PKEY_new_raw_public_key(_ED25519, None, key, len(key))
    context = library.EVP_MD_CTX_new()
    try:
        return bool(
            pkey
            and context
            and library.EVP_DigestVerifyInit(context, None, None, None, pkey) == 1
            and library.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1
        )
    finally:
        library.EVP_MD_CTX_free(context)
        library.EVP_PKEY_free(pkey)


def _load() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            library.EVP_PKEY_new_raw_public_key.restype = ctypes.c_void_p
            library.EVP_PKEY_new_raw_public_key.argtypes = [
                ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t,
            ]  # fmt: skip
            library.EVP_MD_CTX_new.restype = ctypes.c_void_p
            library.EVP_DigestVerifyInit.argtypes = [ctypes.c_void_p] * 5
            library.EVP_DigestVerify.argtypes = [
                ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
            ]  # fmt: skip
            library.EVP_MD_CTX_free.argtypes = library.EVP_PKEY_free.argtypes = [ctypes.c_void_p]
        except (OSError, AttributeError):  # not there, or too old
            continue
        return library
    hint = "pip install 'edgequant[sign]', or check with openssl before: see docs/trust.md"
    raise UsageError("signatures are checked by the package cryptography or OpenSSL 3: neither is here", hint=hint)
