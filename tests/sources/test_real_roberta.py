"""A real fine-tuned RoBERTa with its real tokenizer: needs ../shared of the workplace, skips without it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import models
from toolkit.sources import open_source

SHARED = Path(__file__).parents[3] / "shared"
GOLDEN = Path(__file__).parent.parent / "golden" / "roberta_sst2.npz"


@pytest.mark.skipif(not (SHARED / "models" / "roberta-sst2").is_dir(), reason=f"no {SHARED}/models/roberta-sst2")
def test_logits_of_transformers_and_accuracy(tmp_path):
    folder = tmp_path / "roberta-sst2"
    program = [sys.executable, str(SHARED / "models" / "assemble.py"), folder.name, str(folder)]
    subprocess.run(program, check=True, capture_output=True)
    lines = (SHARED / "data" / "sst2" / "sentiment-dev").read_text(encoding="utf-8").splitlines()[:200]
    rows = [line.rpartition("\t") for line in lines]
    source = open_source(str(folder))
    assert (source.labels, source.max_length, source.pad_id) == (("negative", "positive"), 512, 1)
    session = models.session(source)
    batches = [[text for text, _, _ in rows[start : start + 20]] for start in range(0, len(rows), 20)]
    logits = np.concatenate([session.run(None, models.feed(source, batch))[0] for batch in batches])
    np.testing.assert_allclose(logits[:100], np.load(GOLDEN)["logits"], rtol=0, atol=1e-4)
    right = logits.argmax(1) == [int(label) for _, _, label in rows]
    assert right.mean() >= 0.8
