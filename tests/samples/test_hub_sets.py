"""Sets of the hub: the spec's form, what is asked of the hub, and its refusals. No network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from toolkit.errors import DataError, UsageError
from toolkit.samples import load_samples
from toolkit.samples.hub import HubId, parse


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hub:imdb", HubId("imdb", None, None, "test")),
        ("hub:a/b.c-d:dev", HubId("a/b.c-d", None, None, "dev")),
        ("hub:a/b@refs/pr/1", HubId("a/b", "refs/pr/1", None, "test")),
        ("hub:a/b@0f:stsb/validation", HubId("a/b", "0f", "stsb", "validation")),
    ],
)
def test_forms(spec: str, expected: HubId) -> None:
    assert parse(spec, "evaluation") == expected
    assert parse("hub:imdb", "calibration").split == "train"


@pytest.mark.parametrize("spec", ["hub:", "hub:a/b/c", "hub:a b", "hub:a@", "hub:a:", "hub:a:b/c/d"])
def test_other_forms(spec: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)not a set of the hub.*expected: hub:ID\[@REVISION\]"):
        load_samples(spec, "calibration")


class Hub:
    """A hub that has one set, or answers with an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refusal: Exception | None = None
        self.asked: list[object] = []
        self.table = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [1, 0]})
        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", self.info)
        monkeypatch.setattr(datasets, "load_dataset", self.load)

    def info(self, name: str, *, revision: str | None, timeout: float) -> SimpleNamespace:
        self.asked.append((name, revision, timeout > 0))
        if self.refusal:
            raise self.refusal
        return SimpleNamespace(sha="c0ffee", card_data={"license": "mit"})

    def load(self, path: str, **options: object) -> datasets.Dataset:
        self.asked.append((path, options["name"], options["split"], options["revision"]))
        if isinstance(self.table, Exception):
            raise self.table
        return self.table


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch)


def test_a_set_at_a_pinned_commit(hub: Hub) -> None:
    found = load_samples("hub:a/b@main:x/dev", "evaluation")
    assert (found.texts, found.labels) == (("a", "b"), (1, 0))
    assert (found.name, found.source, found.licence) == ("hub:a/b@main:x/dev", "hub:a/b@c0ffee:x/dev", "mit")
    assert hub.asked == [("a/b", "main", True), ("a/b", "x", "dev", "c0ffee")]


def response() -> SimpleNamespace:
    return SimpleNamespace(headers={}, request=None, status_code=404)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            ConnectionError("Name or service not known"),
            r"(?s)cannot be reached.*Name or service.*give a FILE",
        ),
        (TimeoutError(), r"(?s)cannot be reached.*TimeoutError"),
        (HfHubHTTPError("503 Server Error", response=response()), r"(?s)cannot be reached.*503"),
        (RepositoryNotFoundError("404", response=response()), r"(?s)has no such set.*got: a/b.*HF_TOKEN"),
        (RevisionNotFoundError("404", response=response()), r"(?s)no such revision.*got: 'v9'"),
    ],
)
def test_refusals(hub: Hub, refusal: Exception, message: str) -> None:
    hub.refusal = refusal
    with pytest.raises(DataError, match=message):
        load_samples("hub:a/b@v9", "evaluation")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Unknown split \"test\". Should be one of ['train']."),
        datasets.exceptions.DatasetNotFoundError("gated"),
        RuntimeError("Dataset scripts are no longer supported"),
    ],
)
def test_a_set_that_cannot_be_loaded(hub: Hub, error: Exception) -> None:
    hub.table = error
    with pytest.raises(DataError, match=r"(?s)cannot be loaded.*where: hub:a/b.*hint: is the split there") as caught:
        load_samples("hub:a/b", "evaluation")
    assert str(error) in str(caught.value)


def test_the_real_client_without_network() -> None:
    code = (
        "import json, sys\nfrom toolkit.errors import DataError\nfrom toolkit.samples import load_samples\n"
        "try:\n    load_samples('hub:a/b', 'calibration')\n"
        "except DataError as error:\n    print(json.dumps(str(error)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "the hub cannot be reached" in json.loads(done.stdout)
    assert done.stderr == ""
