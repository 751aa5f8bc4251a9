"""The real servers that tests ask for by fixture, and which files took the time."""

from collections import defaultdict
from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")

pytest_plugins = ["tests.servers.nats", "tests.servers.postgres", "tests.servers.stack_fixtures"]

SHOWN_FILES: Final = 30
LONG_RUN_SECONDS: Final = 300.0
"""A shorter run is somebody's who looks at single tests."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After a long run, the files that took the most of it, fixtures counted with the test that made them."""
    spent: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent[report.nodeid.partition("::")[0]] += report.duration
    if (total := sum(spent.values())) < LONG_RUN_SECONDS:
        return
    terminalreporter.section(f"of {total:.0f} s, the files that took the most")
    for path, seconds in sorted(spent.items(), key=lambda item: -item[1])[:SHOWN_FILES]:
        terminalreporter.write_line(f"{seconds:7.0f} s  {path}")
