"""Imports before the first case."""

import importlib

import pytest


@pytest.fixture(scope="session", autouse=True)
def _imported():
    # PyTensor raises the recursion limit, and Hypothesis warns where that happens inside a case.
    importlib.import_module("pymc")
