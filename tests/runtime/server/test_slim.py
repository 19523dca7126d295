"""The server where neither numpy nor onnxruntime's package is: the same answers to the last digit."""

import sys
from pathlib import Path

from tests.runtime.server import Server

TEXTS = ["the cat sat on the mat", "", "a dog ran", "the dög"]
REQUESTS = {
    "/v1/embeddings": {"input": TEXTS, "model": "tiny"},
    "/v1/embeddings?": {"input": TEXTS, "model": "tiny", "encoding_format": "base64"},
    "/embed": {"texts": TEXTS, "model": "tiny"},
    "/classify": {"texts": TEXTS, "model": "emotions", "top_k": 3},
    "/rerank": {"query": "the cat", "texts": TEXTS, "model": "reranker"},
    "/tokens": {"texts": TEXTS, "model": "tokens"},
}


def loaded(server: Server) -> str:
    """Return what the server's process has mapped into its memory."""
    return Path(f"/proc/{server.process.pid}/maps").read_text()


def test_the_same_answers_without_numpy(server, serve, bundles, device, tmp_path, monkeypatch):
    without_site = tmp_path / "python"
    without_site.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    without_site.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(without_site))
    slim = serve(bundles, env={"PYTHONPATH": str(device)})
    for path, body in REQUESTS.items():
        expected, got = (each.post(path.removesuffix("?"), body) for each in (server, slim))
        assert (got.status, got.json) == (200, expected.json)
    assert "numpy" in loaded(server)
    assert "libonnxruntime.so" in loaded(slim)
    assert "numpy" not in loaded(slim)
    assert "pybind" not in loaded(slim)
