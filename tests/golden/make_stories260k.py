"""Build tests/golden/stories260k again: needs the extra llm-build, and stories260k's checkpoint of llama2.c.

python tests/golden/make_stories260k.py FOLDER  # that holds checkpoint_legacy.bin and tokenizer.bin
"""

import shutil
import sys
import tempfile
from pathlib import Path

from toolkit.sources import SourceOptions
from toolkit.sources.causal import open_causal

HERE = Path(__file__).parent / "stories260k"

with tempfile.TemporaryDirectory() as work:
    source = open_causal(str(Path(sys.argv[1]) / "checkpoint_legacy.bin"), SourceOptions(), Path(work))
    for path in sorted(source.folder.iterdir()):
        if path.is_file():
            shutil.copyfile(path, HERE / path.name)
            print(path.name, path.stat().st_size)
