"""What of each package and wheel goes into an image: only what runs, and what its licence asks for.

The lists were reviewed by name, and checked by running a bundle in the root filesystem that they leave. What is
imported lazily (encodings, unicodedata, zlib) is kept by name, not by a trace that may have missed it.
"""

import re
from fnmatch import fnmatch

# Standard library: development, terminals, mail, XML, processes that share, old formats and old protocols; and OpenSSL,
# by far the largest and the most often updated library: the server speaks plain HTTP and the digests are Python's own.
_STDLIB = """
    LICENSE.txt __phello__ _aix_support.py _bootsubprocess.py _osx_support.py _pydecimal.py _pyio.py aifc.py
    antigravity.py asynchat.py asyncore.py bdb.py cProfile.py cgi.py cgitb.py chunk.py cmd.py code.py codeop.py
    colorsys.py configparser.py crypt.py csv.py curses dbm difflib.py distutils doctest.py email ensurepip filecmp.py
    fileinput.py fractions.py ftplib.py getpass.py html idlelib imaplib.py imghdr.py imp.py lib2to3 mailbox.py
    mailcap.py modulefinder.py msilib multiprocessing netrc.py nntplib.py optparse.py pdb.py pickletools.py pipes.py
    plistlib.py poplib.py pprint.py profile.py pstats.py pty.py pyclbr.py pydoc.py pydoc_data rlcompleter.py sched.py
    shelve.py sitecustomize.py smtpd.py smtplib.py sndhdr.py socketserver.py sqlite3 sre_compile.py sre_constants.py
    sre_parse.py ssl.py statistics.py sunau.py symtable.py tabnanny.py telnetlib.py test this.py timeit.py tkinter
    tomllib trace.py tty.py turtle.py turtledemo unittest uu.py venv wave.py webbrowser.py wsgiref xdrlib.py xml
    xmlrpc zipapp.py zoneinfo
    asyncio/proactor_events.py asyncio/windows_events.py asyncio/windows_utils.py concurrent/futures/process.py
    http/client.py http/cookiejar.py http/cookies.py http/server.py importlib/metadata importlib/resources
    logging/config.py logging/handlers.py urllib/request.py urllib/response.py urllib/robotparser.py
"""
EXTENSIONS = (
    "_codecs_*", "_crypt.*", "_curses*", "_dbm.*", "_decimal.*", "_gdbm.*", "_hashlib.*", "_lsprof.*", "_multi*",
    "_posixshmem.*", "_sqlite3.*", "_ssl.*", "_statistics.*", "_ctypes_test.*", "_test*", "_tkinter.*", "_uuid.*",
    "_xx*", "_zoneinfo.*", "audioop.*", "nis.*", "ossaudiodev.*", "readline.*", "spwd.*", "syslog.*", "termios.*",
    "xx*",
)  # fmt: skip
_ENCODINGS = """
    __init__ aliases ascii base64_codec charmap cp1252 cp437 hex_codec idna iso8859_1 iso8859_15 latin_1 punycode
    raw_unicode_escape unicode_escape utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_7 utf_8 utf_8_sig
"""
# In every wheel: what compilers, editors, tests and installers read.
_NO_RUN = (
    "*.pyi", "*.pxd", "*.pyx", "*.h", "*.c", "*.cpp", "*.a", "*.inc", "*.typed", "*.pyc", "*/tests/*", "*/_tests/*",
)  # fmt: skip
_DIST_INFO = ("*.dist-info/METADATA", "*.dist-info/licenses/*", "*.dist-info/LICENSE*", "*.dist-info/NOTICE*")
_WHEELS = {
    "numpy": (
        "numpy/_core/_operand_flag_tests.*", "numpy/_core/_rational_tests.*", "numpy/_core/_simd.*",
        "numpy/_core/_struct_ufunc_tests.*", "numpy/_core/_umath_tests.*", "numpy/_core/include/*", "numpy/_core/lib/*",
        "numpy/_pyinstaller/*", "numpy/conftest.py", "numpy/distutils/*", "numpy/doc/*", "numpy/f2py/*", "numpy/fft/*",
        "numpy/polynomial/*", "numpy/random/*", "numpy/testing/*",
    ),
    "onnxruntime": (
        "onnxruntime/Privacy.md", "onnxruntime/backend/*", "onnxruntime/datasets/*", "onnxruntime/quantization/*",
        "onnxruntime/tools/*", "onnxruntime/transformers/*",
    ),
    "onnxruntime-genai": ("onnxruntime_genai/models/*",),
    "tokenizers": ("tokenizers/tools/*",),
}  # fmt: skip
# The wheel of onnxruntime has two engines: the one that Python loads, and the one with the C API, which
# onnxruntime-genai needs; encoders run on it as well.
_C_ENGINE = ("onnxruntime/capi/libonnxruntime.so*",)
_PYTHON_ENGINE = ("onnxruntime/*.py", "onnxruntime/capi/onnxruntime_pybind11_state.*", "*_providers_shared.so")


STDLIB, ENCODINGS = frozenset(_STDLIB.split()), frozenset(_ENCODINGS.split())


def deb_path(path: str) -> str | None:
    """Return where a package's file goes; None where it stays out. Merged /usr: /lib is /usr/lib."""
    merged = re.sub(r"^(lib|lib64|bin|sbin)/", r"usr/\1/", path)
    parts = merged.split("/")
    if merged.startswith("usr/lib/python3.") and len(parts) > 3:
        return merged if _keeps_module(parts[3:]) else None
    kept = (
        re.fullmatch(r"usr/lib(64)?/ld-linux[^/]*", merged)
        or re.fullmatch(r"usr/lib/[^/]*-linux-gnu/[^/]*\.so[^/]*", merged)
        or re.fullmatch(r"usr/bin/python3\.\d+", merged)
        or re.fullmatch(r"usr/share/doc/[^/]+/copyright", merged)
        or re.fullmatch(r"usr/share/common-licenses/[^/]+", merged)
        or merged in ("etc/os-release", "usr/lib/os-release")
    )
    return merged if kept else None


def keeps_wheel_file(name: str, path: str, *, c_engine: bool) -> bool:
    """Return whether a wheel's file goes into an image; ``c_engine`` keeps that one of the two engines."""
    if ".dist-info/" in path:
        return any(fnmatch(path, pattern) for pattern in _DIST_INFO)
    engine = _PYTHON_ENGINE if c_engine else _C_ENGINE
    return not any(fnmatch(path, pattern) for pattern in (*_NO_RUN, *_WHEELS.get(name, ()), *engine))


def _keeps_module(parts: list[str]) -> bool:
    if {parts[0], "/".join(parts[:2]), "/".join(parts)} & STDLIB or parts[0].startswith(
        ("config-", "_sysconfigdata", "__pycache__")
    ):
        return False
    if parts[0] == "lib-dynload":
        return not any(fnmatch(parts[-1], pattern) for pattern in EXTENSIONS)
    return parts[0] != "encodings" or parts[-1].removesuffix(".py") in ENCODINGS
