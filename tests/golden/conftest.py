"""The list of golden losses that nothing answers, at the end of every run."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    counts = Counter(reason.split("NOT COVERED: ")[1] for reason in reasons if "NOT COVERED: " in reason)
    if counts:
        terminalreporter.section("golden cases NOT COVERED")
        for loss, cases in sorted(counts.items()):
            terminalreporter.line(f"{loss}: {cases} cases")
