"""One part of the GPU's benchmark: `python -m pipeline.benchmark.gpu PART FILE OPTIONS`.

OPTIONS is a JSON file with the workload, FILE takes the result.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from pipeline.benchmark.gpu.command import measure_part, read_options

if __name__ == "__main__":
    name, file, options = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    result = measure_part(name, read_options(Path(options)))
    Path(file).write_text(json.dumps(result.to_json()), encoding="utf-8")
