import pytest
from pydantic import ValidationError

from services.scheduler.deadlines import Rules
from services.scheduler.settings import SchedulerSettings
from shared.blobs.chunks import AGE_SECONDS
from shared.events.values import BlobClass, Limits


def test_every_duration_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Rules.model_fields:
        monkeypatch.setenv(f"SCHEDULER_{name.upper()}", "7")
    monkeypatch.setenv("SCHEDULER_RUNNING_PER_OWNER", "3")
    settings = SchedulerSettings()
    assert {getattr(settings, name) for name in Rules.model_fields} == {7}
    assert settings.running_per_owner == 3


def test_settings_are_bounded_and_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        setattr(SchedulerSettings(), "prepare_seconds", 1)  # noqa: B010 - the type checker refuses the plain form
    monkeypatch.setenv("SCHEDULER_PUBLISH_SECONDS", "0")
    with pytest.raises(ValidationError):
        SchedulerSettings()


def test_what_can_be_published_by_hand_is_still_stored() -> None:
    """A blob lives for three of its class's four generations at least, and a run for a day at most."""
    longest_run = Limits.model_fields["wall_seconds"].metadata
    day = next(bound.le for bound in longest_run if hasattr(bound, "le"))
    for blob_class in (BlobClass.WORKSPACE, BlobClass.RESULT):
        assert Rules().kept_seconds + day <= AGE_SECONDS[blob_class] * 3 / 4
