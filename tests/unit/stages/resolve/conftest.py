"""The project that specs of the tests live in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects import Project, new_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in which every file that specs of the tests name exists."""
    return new_project(tmp_path)
