"""What crosses between accounts is what the topology lists, and nothing else."""

import pytest

from deploy.nats import topology
from deploy.nats.borders import Border, borders, covers
from deploy.nats.topology import Account
from shared.bus.streams import API

APART = [user for user in topology.USERS if not user.provisions]


def services(border: Border, direction: str) -> list[str]:
    return [str(entry["service"]) for entry in border[direction] if "service" in entry]


def test_each_service_imports_exactly_what_it_may_publish() -> None:
    found = borders()
    for user in APART:
        imported = [(entry["service"], entry.get("to")) for entry in found[user.home]["imports"] if "service" in entry]
        assert [seen_as or service["subject"] for service, seen_as in imported] == list(user.publish)
        assert {service["account"] for service, _ in imported} <= {user.account, *(other.home for other in APART if other.answers)}


def test_whatever_is_imported_is_exported_to_that_account() -> None:
    found = borders()
    for name, border in found.items():
        for kind, entry in ((kind, entry[kind]) for entry in border["imports"] for kind in ("service", "stream") if kind in entry):
            exported = [export for export in found[entry["account"]]["exports"] if export.get(kind) == entry["subject"]]
            assert [name in export["accounts"] for export in exported] == [True]
    assert all(export["accounts"] for border in found.values() for export in border["exports"])


def test_of_the_api_services_get_reading_and_pulling_and_the_mirrors_their_consumers() -> None:
    found = borders()
    calls = [call for account in (Account.APP, Account.AUDIT) for call in services(found[account], "exports") if "$JS.API" in call]
    kinds = {call.removeprefix("$JS.API.").removesuffix(".>") for call in calls}
    reading = ("DIRECT.GET.", "CONSUMER.MSG.NEXT.", "CONSUMER.INFO.", "CONSUMER.NAMES.", "CONSUMER.LIST.", "STREAM.INFO.")
    assert {kind for kind in kinds if not kind.startswith((*reading, "CONSUMER.CREATE."))} == {"INFO", "STREAM.NAMES", "STREAM.LIST"}
    creating = [export for export in found[Account.APP]["exports"] if "CREATE" in str(export.get("service"))]
    mirrored = [f"$JS.API.CONSUMER.CREATE.{stream}{rest}" for stream in topology.mirrored() for rest in ("", ".>")]
    assert [export["service"] for export in creating] == mirrored
    assert all(export["accounts"] == [Account.AUDIT] for export in creating)


def test_questions_go_from_who_asks_to_who_answers() -> None:
    found = borders()
    assert services(found["USER_AUDIT"], "exports") == ["rpc.audit.entries", "rpc.audit.checkpoint"]
    asked = {export["service"]: export["accounts"] for export in found["USER_GATEWAY"]["exports"] if "service" in export}
    assert asked["rpc.gateway.run_input"] == ["USER_RUNNER"]
    assert asked["rpc.gateway.sealed_credential"] == ["USER_GIT", "USER_RUNNER"]


def test_nobody_sees_another_name_for_the_api_than_ours() -> None:
    renamed = [entry["to"] for user in APART for entry in borders()[user.home]["imports"] if "to" in entry]
    assert renamed
    assert all(name.startswith(f"{API}.") for name in renamed)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("evt.>", "evt.run.>", True),
        ("evt.>", "evt.>", True),
        ("evt.run.>", "evt.>", False),
        ("evt.>", "evtx.>", False),
        ("rpc.a", "rpc.a", True),
        ("rpc.a", "rpc.ab", False),
    ],
)
def test_what_covers_what(wide: str, narrow: str, covered: bool) -> None:
    assert covers(wide, narrow) is covered
