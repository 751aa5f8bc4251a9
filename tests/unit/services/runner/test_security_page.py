"""The table in docs/security.md is the one that the recorded answers make."""

from tests.security.sandbox import page, walls


def test_the_table_is_current() -> None:
    table = page.table(walls.groups(), page.recorded())
    assert table in page.DOCUMENT.read_text(), "run: python -m tests.security.sandbox"


def test_every_probe_has_an_answer_of_both() -> None:
    recorded = page.recorded()
    wanted = {probe.name: set(probe.attempts) for probe in walls.probes()}
    for who in ("ours", "docker"):
        assert {name: set(answers) for name, answers in recorded[who].items()} == wanted
