"""``python -m toolkit.runtime.raw``: a job as JSON on stdin, the model's raw outputs as ``.npy`` on stdout.

For programs that judge a model on a CPU: nothing is rounded, and NaN or infinity is told, not refused.
"""

import json
import sys
from argparse import Namespace
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from toolkit.runtime.bundle import Bundle
from toolkit.runtime.errors import UsageError
from toolkit.runtime.failures import run_command
from toolkit.runtime.host import host
from toolkit.runtime.manifest import ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.options import named_engine
from toolkit.runtime.strict import parse, read


@dataclass(frozen=True)
class RawJob:
    """What to run: ``texts`` of one part or two by a tokenizer, or ``rows`` of numbers put in as ``input_ids``.

    ``model`` and ``tokenizer`` are paths; ``rows`` are all as long as each other and run as one batch. ``by_token``
    asks for a row for each token of each text instead of one for each text.
    """

    model: str
    info: ModelInfo
    session: SessionInfo
    threads: int
    tokenizer: str = ""
    tokenizer_info: TokenizerInfo | None = None
    texts: tuple[tuple[str, ...], ...] = ()
    rows: tuple[tuple[int, ...], ...] = ()
    by_token: bool = False

    def to_json(self) -> bytes:
        """Return the job as ``run_job`` reads it."""
        return json.dumps(asdict(self)).encode()


def bundle_job(bundle: Bundle, texts: tuple[tuple[str, ...], ...], threads: int) -> RawJob:
    """Return the job of running texts through a bundle."""
    manifest = bundle.manifest
    model, tokenizer = (str(bundle.folder.resolve() / name) for name in (manifest.model.file, manifest.tokenizer.file))
    job = RawJob(model, manifest.model, manifest.session, threads, tokenizer, manifest.tokenizer, texts)
    return replace(job, by_token=manifest.task == "token-classification")


def main() -> int:
    """Run the job on stdin; exit 0, or 1 or 2 with words on stderr."""
    return run_command(Namespace(run=run_job))


def run_job(_args: Namespace) -> int:
    """Read the job, run it, write float32 ``[texts, tokens or rows; dimension]``."""
    job = read(RawJob, parse(sys.stdin.buffer.read(), "the job on stdin"), "the job on stdin")
    from toolkit.runtime import writing  # noqa: PLC0415 - what is wrong with the job is told without the libraries
    from toolkit.runtime.arrays import ints  # noqa: PLC0415
    from toolkit.runtime.model import TextModel  # noqa: PLC0415
    from toolkit.runtime.session import Session  # noqa: PLC0415

    machine = host(job.threads, *named_engine())
    if job.tokenizer_info is None:
        session = Session(Path(job.model), job.info, job.session, machine)
        parts = [session.run({"input_ids": ints(job.rows, (len(job.rows), len(job.rows[0]) if job.rows else 0))})]
    else:
        text = Path(job.tokenizer).read_text(encoding="utf-8")
        model = TextModel(Path(job.model), text, job.info, job.tokenizer_info, job.session, machine)
        texts = [_text(parts, index) for index, parts in enumerate(job.texts)]
        parts = model.raw_tokens(texts)[1] if job.by_token else [model.raw(texts)]
    with writing.output(None) as handle:
        writing.write_embeddings_npy([([""] * len(rows), rows) for rows in parts], handle, job.info.dimension)
    return 0


def _text(parts: tuple[str, ...], index: int) -> str | tuple[str, str]:
    if len(parts) not in (1, 2):
        raise UsageError(f"text {index} of the job has another number of parts", got=len(parts), expected="1 or 2")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


if __name__ == "__main__":
    sys.exit(main())
