"""The guide, built once per test process."""

from __future__ import annotations

from pathlib import Path

import pytest
from guide_build import build_guide

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    done = build_guide(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
