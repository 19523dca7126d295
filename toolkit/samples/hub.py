"""A set of the Hugging Face hub: ``hub:ID[@REVISION][:SPLIT]``, where SPLIT may be ``CONFIG/SPLIT``."""

import re
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from types import ModuleType

from toolkit.errors import DataError, UsageError
from toolkit.hub import TIMEOUT_S, network_errors
from toolkit.samples.table import Table, quiet_datasets

FORM = re.compile(
    r"hub:(?P<id>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?(:((?P<config>[\w.-]+)/)?(?P<split>[\w.-]+))?"
)
DEFAULT_SPLIT = {"calibration": "train", "evaluation": "test"}
DOWNLOAD = "download the set yourself and give a FILE (csv, tsv, jsonl, parquet, txt)"


@dataclass(frozen=True)
class HubId:
    """The parts of a ``hub:`` spec; ``revision`` and ``config`` are None where the spec has none."""

    id: str
    revision: str | None
    config: str | None
    split: str


def parse(spec: str, role: str) -> HubId:
    """Return the parts of a spec; without a split, calibration takes ``train`` and evaluation ``test``."""
    found = FORM.fullmatch(spec)
    if not found:
        expected = "hub:ID[@REVISION][:SPLIT], or hub:ID[@REVISION]:CONFIG/SPLIT"
        hint = "for example hub:stanfordnlp/imdb:test"
        raise UsageError("not a set of the hub", got=repr(spec), expected=expected, hint=hint)
    return HubId(found["id"], found["revision"], found["config"], found["split"] or DEFAULT_SPLIT[role])


def read_hub(spec: str, role: str) -> Table:
    """Download a split of the hub into columns; the revision is pinned to a commit, which ``source`` names.

    What is downloaded stays in Hugging Face's own cache; what ``datasets`` makes of it goes.

    Raises UsageError for a spec of another form and DataError when the hub is out of reach or lacks the set.
    """
    wanted = parse(spec, role)
    with quiet_datasets() as datasets, TemporaryDirectory(prefix="edgequant-") as cache:
        commit, licence = _look_up(spec, wanted)
        columns = _download(datasets, spec, wanted, commit, cache)
    config = f"{wanted.config}/" if wanted.config else ""
    source = f"hub:{wanted.id}@{commit}:{config}{wanted.split}"
    return Table(columns=columns, where=spec, source=source, licence=licence)


def _look_up(spec: str, wanted: HubId) -> tuple[str, str]:
    """Return commit and licence: one request without repeats, so that a host off the net hears so at once."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - comes with datasets
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError  # noqa: PLC0415

    try:
        info = HfApi().dataset_info(wanted.id, revision=wanted.revision, timeout=TIMEOUT_S)
    except RevisionNotFoundError as error:
        raise DataError("the hub has no such revision", where=spec, got=repr(wanted.revision)) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        hint = f"look for it on the hub's page of data sets; if it is private, set HF_TOKEN; or {DOWNLOAD}"
        raise DataError("the hub has no such set, or keeps it private", where=spec, got=wanted.id, hint=hint) from error
    except network_errors() as error:
        got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise DataError("the hub cannot be reached", where=spec, got=got[:200], hint=DOWNLOAD) from error
    card = info.card_data
    return info.sha or "unknown", str((card.get("license") if card else None) or "not stated")


def _download(datasets: ModuleType, spec: str, wanted: HubId, commit: str, cache: str) -> dict[str, list[object]]:
    try:
        table = datasets.load_dataset(
            wanted.id,
            name=wanted.config,
            split=wanted.split,
            revision=commit,
            cache_dir=cache,
            keep_in_memory=True,
        )
        return {name: list(table[name]) for name in table.column_names}
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError, *network_errors()) as error:
        got = " ".join(str(error).split())[:300]
        hint = f"is the split there (hub:ID:SPLIT or hub:ID:CONFIG/SPLIT)? Else {DOWNLOAD}"
        raise DataError("the hub's set cannot be loaded", where=spec, got=got, hint=hint) from error
