"""What loading must not import: seconds of start-up, for nothing."""

from __future__ import annotations

import subprocess
import sys

from tutortoietts.core.config import CONFIGS

SCRIPT = """
import sys
from tutortoietts.core.config import CONFIGS
from tutortoietts.core.errors import ModelError
from tutortoietts.weights.load import build, model_class
for kind, config in CONFIGS.items():
    try:
        build(lambda: model_class(kind)(config()), {})
    except ModelError:  # no weights: but the full-size module has been constructed
        print(kind, *sorted({"sympy", "torch._dynamo", "huggingface_hub"} & sys.modules.keys()))
"""


def test_building_every_model_imports_no_compiler() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = run.stdout.split("\n")[:-1]
    assert len(lines) == len(CONFIGS)
    assert [line for line in lines if " " in line] == []
