"""A hub on loopback, as a mirror with a token: a model at a pinned revision, then the same offline. No network."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.cli import ROOT
from tests.models import tiny_bert

COMMIT = "c0ffee" + 34 * "0"
TOKEN = {"HF_TOKEN": "hf_secret"}
PROGRAM = """
import json, sys
from toolkit.errors import ModelError
from toolkit.sources import SourceOptions, open_source
try:
    source = open_source("someone/tiny", SourceOptions(revision=sys.argv[1] or None))
    print(json.dumps([source.name, source.task, source.origin]))
except ModelError as error:
    print(json.dumps(str(error)))
"""


class Hub(BaseHTTPRequestHandler):
    """Has one private model, with one branch and one tag."""

    folder, refused = None, 0

    def do_GET(self):
        path = self.path.partition("?")[0]
        if self.headers.get("Authorization") != f"Bearer {TOKEN['HF_TOKEN']}":
            type(self).refused += 1
            self.answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif path in ("/api/models/someone/tiny", *(f"/api/models/someone/tiny/revision/{r}" for r in ("main", "v1"))):
            names = [{"rfilename": path.name} for path in self.folder.iterdir()]
            self.answer(200, json.dumps({"id": "someone/tiny", "sha": COMMIT, "siblings": names}).encode())
        elif path == f"/api/models/someone/tiny/tree/{COMMIT}":
            found = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": f"{row:040d}"}
                for row, path in enumerate(self.folder.iterdir())
            ]
            self.answer(200, json.dumps(found).encode())
        elif path.startswith(f"/someone/tiny/resolve/{COMMIT}/"):
            data = (self.folder / path.rpartition("/")[2]).read_bytes()
            self.answer(200, data, {"ETag": f'"{path.rpartition("/")[2]}"', "X-Repo-Commit": COMMIT})
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})

    do_HEAD = do_GET  # noqa: N815 - as http.server names it

    def answer(self, status, data, headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def ask(tmp_path):
    """Return a function that opens the model in a process that has only these settings of the hub's library."""
    Hub.folder = tiny_bert(tmp_path / "tiny", head="classifier")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    mirror = f"http://127.0.0.1:{server.server_address[1]}"

    def opened(revision="", **env):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        settings = {"HF_ENDPOINT": mirror, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", **env}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, revision],
            env={**clean, **settings, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield opened
    server.shutdown()
    server.server_close()


def test_a_mirror_a_token_a_revision_and_then_offline(ask):
    expected = ["tiny", "classification", f"hub:someone/tiny@{COMMIT}"]
    assert "cannot fetch the model from the hub" in ask()
    assert Hub.refused
    assert "HF_HUB_OFFLINE" in ask("v9", **TOKEN)
    assert "the model was not fetched from the hub before" in ask(HF_HUB_OFFLINE="1")
    assert ask("v1", **TOKEN) == expected
    assert ask("v1", HF_HUB_OFFLINE="1") == expected
    assert "was not fetched from the hub before" in ask(HF_HUB_OFFLINE="1")  # its main branch was not
    assert ask(**TOKEN) == expected
    assert ask(HF_HUB_OFFLINE="1") == expected
