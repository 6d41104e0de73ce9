"""A test for each scenario, with a subtest for each check. Nothing is judged here: `cargo xtask` did, and junit.xml says it."""

from __future__ import annotations

import pytest


def test_boot(judgement) -> None:
    """The log is whole, nothing was planted, and the whole run is as expected."""
    wrong = [f"{check.name}: {check.failure}" for check in judgement.suites["boot"] if check.failure is not None]
    if wrong or judgement.exit_status:
        said = "\n".join(judgement.said.strip().splitlines()[-20:])
        pytest.fail("\n".join([*wrong, said]), pytrace=False)


def test_scenario(judgement, scenario: str, subtests: pytest.Subtests) -> None:
    if scenario not in judgement.suites:
        pytest.fail(f"the report has no {scenario}", pytrace=False)
    for check in judgement.suites[scenario]:
        with subtests.test(check.name):
            if check.failure is not None:
                pytest.fail(f"{check.name}: {check.failure}", pytrace=False)
            if check.skipped is not None:
                pytest.skip(f"{check.name}: {check.skipped}")
