from datetime import timedelta

import pytest

from shared.store import Inbox, Rule

DAY = timedelta(days=1)


def test_a_rule_asks_the_age_of_each_row_twice() -> None:
    statement = Rule(table="s.t", since=("made_at", "ended_at"), kept=DAY, condition="state = 'x'").statement
    old = "made_at < now() - $1::interval and ended_at < now() - $1::interval and (state = 'x')"
    assert statement == f"delete from s.t where ctid = any(array(select ctid from s.t where {old} limit $2)) and {old}"  # noqa: S608


@pytest.mark.parametrize("table", ["t; drop table u", "a.b.c", "T", ""])
def test_a_table_is_a_name(table: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Rule(table=table, since=("at",), kept=DAY)


def test_nothing_is_pruned_that_is_new() -> None:
    with pytest.raises(ValueError, match="lose what is new"):
        Rule(table="s.t", since=("at",), kept=timedelta())


def test_an_inbox_outlives_streams_and_dead_letters() -> None:
    assert Inbox("scheduler").rule().kept >= timedelta(days=30 + 14)
