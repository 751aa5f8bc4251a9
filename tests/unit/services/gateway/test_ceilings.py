"""What a task may ask for at most."""

import pytest

from services.gateway.ceilings import Ceilings, check
from services.gateway.errors import Invalid
from services.gateway.settings import Settings
from shared.events.values import Limits


def test_the_defaults_are_within_the_ceilings_and_the_ceilings_within_the_bounds() -> None:
    check(Limits(), Ceilings())
    Limits.model_validate(Ceilings().model_dump())


def test_the_operator_names_only_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AUTH_ISSUER", "http://a"),
        ("AUTH_JWKS_URL", "http://a/j"),
        ("GIT_PUBLIC_KEY_FILE", "g"),
        ("EGRESS_PUBLIC_KEY_FILE", "e"),
    ):
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    monkeypatch.setenv("GATEWAY_MAX_LIMITS", '{"memory_mib": 8192}')
    assert Settings().max_limits == Ceilings(memory_mib=8_192)  # pyright: ignore[reportCallIssue] - from the environment


def test_every_field_over_its_ceiling_is_named() -> None:
    low = Ceilings.model_validate({"memory_mib": 1_024, "cpus": 1.5})
    with pytest.raises(Invalid) as refused:
        check(Limits(memory_mib=1_025, cpus=2, pids=64), low)
    assert [(fault.field, fault.rule, fault.message) for fault in refused.value.errors] == [
        ("body.limits.memory_mib", "over_ceiling", "must be at most 1024 here"),
        ("body.limits.cpus", "over_ceiling", "must be at most 1.5 here"),
    ]
