"""Python code in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dualtape

SOURCE = Path(dualtape.__file__).parents[1]


def run(code, *args, options=(), **environment):
    """Return what a new process prints, as JSON."""
    found = subprocess.run(
        [sys.executable, *options, "-c", code, *args],
        env=os.environ | {"PYTHONPATH": str(SOURCE), "DUALTAPE_VERBOSE": "0"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])
