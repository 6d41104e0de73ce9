"""Options and fixtures: what is asked of the board, its place for as long as the tests run, and the verdict."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from labgrid.factory import target_factory
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY

# labgrid-client talks to the coordinator alone.
CLIENT_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """A case of `junit.xml`, as `cargo xtask` judged it."""

    name: str
    failure: str | None
    skipped: str | None


@dataclass(frozen=True)
class Judgement:
    """What came of one boot."""

    exit_status: int
    said: str
    suites: dict[str, list[Check]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("inflight")
    group.addoption("--scenario", default="adopt,reset", help="scenarios, separated by commas")
    group.addoption("--payload", default="", help="more that the payload is told, as '--cycles 10 --option step-hold=1'")
    group.addoption("--flash", default="", help="more for `cargo xtask flash`, as '--to /srv/esp'")
    group.addoption("--inflight-report", default="report", metavar="DIR", help="folder of the report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize("scenario", metafunc.config.getoption("scenario").split(","))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """The places are this session's while its tests run, and are released whatever became of them."""
    with ExitStack() as held:
        for place in [] if session.config.option.collectonly else places(session.config):
            client(session.config, place, "acquire")
            held.callback(client, session.config, place, "release")
        return (yield)


def places(config: pytest.Config) -> list[str]:
    """Those of the environment; none where its resources belong to this machine."""
    environment = config.stash[LABGRID_ENV_KEY]
    targets = environment.config.get_targets().values() if environment else []
    return [name for target in targets for name in target_factory.normalize_config(target)[0].get("RemotePlace", [])]


def client(config: pytest.Config, place: str, command: str) -> None:
    address = config.stash[LABGRID_ENV_KEY].config.get_option("coordinator_address", "")
    words = ["labgrid-client", *(["-x", address] if address else []), "-p", place, command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise pytest.UsageError(f"place {place}: {command}: {said[-1] if said else 'labgrid-client failed'}")


@pytest.fixture(scope="session")
def judgement(request: pytest.FixtureRequest, strategy, record_testsuite_property) -> Judgement:
    """Flashes, runs and judges, once."""
    option = request.config.getoption
    folder = Path(option("inflight_report")).resolve()
    strategy.payload = f"--scenario {option('scenario')} {option('payload')} {strategy.payload}"
    strategy.flash = f"{option('flash')} {strategy.flash}"
    strategy.report = str(folder)
    record_testsuite_property("inflight-report", str(folder))
    strategy.transition("judged")
    return Judgement(strategy.exit_status, strategy.said, suites(folder / "junit.xml"))


def suites(path: Path) -> dict[str, list[Check]]:
    def message(case: ElementTree.Element, *kinds: str) -> str | None:
        found = next((part for part in case if part.tag in kinds), None)
        return None if found is None else found.get("message", "")

    def check(case: ElementTree.Element) -> Check:
        return Check(case.get("name", ""), message(case, "failure", "error"), message(case, "skipped"))

    return {suite.get("name", ""): [check(case) for case in suite.iter("testcase")]
            for suite in ElementTree.parse(path).getroot().iter("testsuite")}
