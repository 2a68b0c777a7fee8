"""Settings for all tests."""

import os

import pytest
import torch

import interpreter  # noqa: F401  before anything imports Triton
import usual

pytest.register_assert_rewrite(
    "contract.laws_house", *(f"lossary.testing.laws.{part}" for part in ("devices", "gradients", "interface", "values"))
)

collect_ignore = ["typing/wrong.py"]  # read by the type checker alone

# Test batches are small: more threads only get in each other's way.
torch.set_num_threads(1)

# For each kind of device that is not there ``torch.manual_seed`` keeps a call and its stack: longer than most tests.
seed = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed


def pytest_configure(config: pytest.Config) -> None:
    """A run of everything takes a sample of what is too large, and whatever is named is run whole."""
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or bool(config.option.keyword)
    usual.begin(named=named)


def pytest_sessionstart(session: pytest.Session) -> None:
    if terminal := session.config.pluginmanager.get_plugin("terminalreporter"):  # xdist's workers have none
        tell(terminal)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tell(terminalreporter)


def tell(terminal: pytest.TerminalReporter) -> None:
    if usual.seed() != usual.WHOLE:
        terminal.write_line(usual.said())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A fifth of the time tests wait: for time-outs, a browser, other processes' exit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (cores + 1) // 3


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if left_out := usual.left_out(items):
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers in any order and company; not those of a test's own generator, seeded by 0."""
    seed(8128)
