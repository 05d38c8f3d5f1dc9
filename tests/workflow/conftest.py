"""Copies of the project for the tests that run or change the workflow."""

import pytest

from tests.workflow.project import Project, copy_project


@pytest.fixture
def project(root, tmp_path) -> Project:
    """A fresh copy."""
    return copy_project(root, tmp_path / "project")


@pytest.fixture(scope="session")
def smoke(root, tmp_path_factory) -> Project:
    """A copy in which the smoke study ran to its end; tests must not change it."""
    project = copy_project(root, tmp_path_factory.mktemp("smoke") / "project")
    project.run()
    return project
