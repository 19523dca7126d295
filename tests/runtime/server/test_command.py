import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from tests.runtime.server import environment
from toolkit.runtime import load
from toolkit.runtime.__main__ import main
from toolkit.runtime.errors import UsageError
from toolkit.runtime.server import memory
from toolkit.runtime.server.command import read_token
from toolkit.runtime.server.limits import Limits

WITHOUT_NUMPY = "import sys; sys.modules['numpy'] = None; import toolkit.runtime.__main__ as m; "
TOKEN = "0123456789abcdef"  # noqa: S105


def test_the_runtime_without_numpy_serves_the_same_numbers(serve, bundles):
    server = serve(bundles, program=["-c", f"{WITHOUT_NUMPY} sys.exit(m.main())"])
    text = "the cat sat on the mat"
    expected = load(bundles / "embedder", engine="capi").embed(text).tolist()
    assert server.post("/embed", {"texts": text}).json["embeddings"][0] == pytest.approx(expected, abs=1e-8)
    assert server.post("/v1/embeddings", {"input": text, "encoding_format": "base64"}).status == 200
    for path, body in (("/classify", {}), ("/tokens", {}), ("/rerank", {"query": "a"})):
        assert server.post(path, {"texts": [text], **body}).status == 200
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libonnxruntime" in maps
    assert "numpy" not in maps
    assert "pybind" not in maps
    assert server.stop() == 0


def test_help_costs_neither_asyncio_nor_the_engine():
    show = "import sys, toolkit.runtime.server.command; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], env=environment(), capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"asyncio", "h11", "ssl", "onnxruntime", "numpy", "tokenizers"}


def test_the_process_is_left_without_openssl(serve, tiny, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    server = serve(tiny, "--token-file", token)
    assert server.ask("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    assert not re.search("libssl|libcrypto|_hashlib", Path(f"/proc/{server.process.pid}/maps").read_text())


def test_a_missing_extra_is_told(tiny, monkeypatch, capsys):
    for settings in ("leave_out_openssl", "give_memory_back"):  # not for the process of the tests
        monkeypatch.setattr(memory, settings, lambda: None)
    monkeypatch.setitem(sys.modules, "h11", None)
    monkeypatch.delitem(sys.modules, "toolkit.runtime.server.serving", raising=False)
    monkeypatch.delitem(sys.modules, "toolkit.runtime.server.connection", raising=False)
    assert main(["serve", str(tiny)]) == 2
    assert "`serve` needs the package h11" in (said := capsys.readouterr().err)
    assert "pip install 'edgequant[serve]'" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve"], "required: BUNDLE"),
        (["serve", "b", "--port", "65536"], "'65536' is not a port"),
        (["serve", "b", "--port", "http"], "'http' is not a port"),
        (["serve", "b", "--max-queue", "0"], "'0' is not a whole number of at least 1"),
        (["serve", "b", "--timeout", "0"], "'0' is not a number of seconds above 0"),
        (["serve", "b", "--timeout", "inf"], "'inf' is not a number of seconds above 0"),
        (["serve", "b", "--timeout", "soon"], "'soon' is not a number of seconds above 0"),
    ],
)
def test_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_tokens_are_long_and_plain(tmp_path):
    assert read_token(None, None) is None
    assert read_token(None, TOKEN) == TOKEN.encode()
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-of-the-file\n")
    assert read_token(file, TOKEN) == f"{TOKEN}-of-the-file".encode()
    for wrong in ("", "short", "with a space in it", "äöüäöüäöüäöüäöüäöü", "two\nlines-of-sixteen"):
        with pytest.raises(UsageError, match=r"cannot be used\n  where: \$EDGEQUANT_TOKEN\n.*\n  hint: make one"):
            read_token(None, wrong)
    with pytest.raises(FileNotFoundError):
        read_token(tmp_path / "none", TOKEN)


def test_health(server, capsys):
    url = f"http://127.0.0.1:{server.address[1]}"
    assert main(["health", "--url", f"{url}/ready"]) == 0
    assert capsys.readouterr().err == "ready\n"
    assert [main(["health", "--url", address]) for address in (url, f"{url}/")] == [0, 0]
    assert main(["health", "--url", f"{url}/none"]) == 1
    assert "got: HTTP 404" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "127.0.0.1:8080", "http://", "http://h:99999/", "http://h/ x"])
def test_health_of_what_is_no_url(url, capsys):
    assert main(["health", "--url", url]) == 2
    assert "the URL" in capsys.readouterr().err


def greet(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.sendall(b"SSH-2.0\r\n")


def test_health_of_nobody_and_of_something_else(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}/"
        assert main(["health", "--url", url, "--timeout", "0.2"]) == 1
        assert "nobody answers" in capsys.readouterr().err
        other.accept()[0].close()
        thread = Thread(target=greet, args=[other])
        thread.start()
        assert main(["health", "--url", url]) == 1
        assert "the answer is not HTTP" in capsys.readouterr().err
        thread.join()
    assert main(["health", "--url", url]) == 1


def test_limits_leave_time_to_drain():
    limits = Limits(timeout=5, generation_timeout=4, read_timeout=2)
    assert limits.drain_timeout == 11
    assert replace(limits, generation_timeout=100).drain_timeout == 106
