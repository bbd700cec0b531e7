"""What CONTRIBUTING.md tells a newcomer to write, works as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_filter_and_its_test_run_as_written(tmp_path: Path) -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    code, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "shouting.py").write_text(code)
    (tmp_path / "test_shouting.py").write_text(test.replace("filters.shouting", "shouting"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", f"{ROOT}/pyproject.toml", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
