"""What is sealed opens for its own key and context, and for nothing else."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretBytes

from shared.events import ids
from shared.events.ids import CredentialId, OwnerId
from shared.events.values import Purpose
from shared.secrets import Context, InvalidSealed, Keyring, SecretsError, UnknownKey, WrongContext, key_id, model_place, seal

RING = Keyring.generate()


def a_context(version: int = 1) -> Context:
    return Context(Purpose.GIT_TOKEN, OwnerId(ids.fresh()), CredentialId(ids.fresh()), version)


@given(st.binary(max_size=2000))
def test_it_opens_as_it_was(plain: bytes) -> None:
    context = a_context()
    sealed = seal(RING.primary, SecretBytes(plain), context)
    assert RING.open(sealed, context).get_secret_value() == plain
    assert key_id(sealed) == RING.primary_id
    assert len(plain) < 8 or plain not in sealed


def test_sealing_twice_gives_different_bytes() -> None:
    context = a_context()
    assert seal(RING.primary, b"the same", context) != seal(RING.primary, b"the same", context)


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    context = a_context()
    sealed = bytearray(seal(RING.primary, b"a secret value", context))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SecretsError):
        RING.open(bytes(sealed), context)


@given(st.integers(0, 70))
def test_what_is_cut_off_or_added_is_refused(length: int) -> None:
    context = a_context()
    sealed = seal(RING.primary, b"a secret value", context)
    with pytest.raises(SecretsError):
        RING.open(sealed[:length], context)
    with pytest.raises(WrongContext):
        RING.open(sealed + b"\0" * (length + 1), context)


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": Purpose.MODEL_KEY},
        {"purpose": "webhook"},
        {"owner": OwnerId(ids.fresh())},
        {"credential_id": CredentialId(ids.fresh())},
        {"version": 2},
        {"place": "anthropic"},
    ],
)
def test_any_other_context_is_refused(other: dict[str, object]) -> None:
    context = a_context()
    sealed = seal(RING.primary, b"a secret value", context)
    with pytest.raises(WrongContext):
        RING.open(sealed, replace(context, **other))  # type: ignore[arg-type]


def test_what_was_sealed_before_places_were_bound_opens_as_it_did() -> None:
    context = Context(Purpose.GIT_TOKEN, OwnerId("o"), CredentialId("c"), 1)
    parts = (b"async-code/sealed/v1", b"git_token", b"o", b"c", b"1")
    assert context.info() == b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_a_model_key_opens_for_the_place_it_was_stored_for_alone() -> None:
    places = [model_place(vendor, url) for vendor in ("anthropic", "openai") for url in (None, "https://a.example", "https://b.example")]
    contexts = [replace(a_context(), place=place) for place in places]
    assert len(set(places)) == len(places)
    sealed = seal(RING.primary, b"a model key", contexts[1])
    for other in (replace(contexts[1], place=place) for place in ("", *places) if place != places[1]):
        with pytest.raises(WrongContext):
            RING.open(sealed, other)


def test_swapped_rows_are_refused() -> None:
    one, two = a_context(), a_context()
    rows = {one: seal(RING.primary, b"of one", one), two: seal(RING.primary, b"of two", two)}
    for context, stolen in ((one, rows[two]), (two, rows[one])):
        with pytest.raises(WrongContext):
            RING.open(stolen, context)


contexts = st.builds(
    Context, st.sampled_from([*Purpose, "webhook"]), st.text(max_size=9), st.text(max_size=9), st.integers(0, 10**6), st.text(max_size=9)
)


@given(contexts, contexts)
@example(Context("webhook", OwnerId("ab"), CredentialId("c"), 1), Context("webhook", OwnerId("a"), CredentialId("bc"), 1))
@example(Context("webhook", OwnerId("a"), CredentialId("b1"), 2), Context("webhook", OwnerId("a"), CredentialId("b"), 12))
def test_different_contexts_never_bind_the_same_bytes(one: Context, two: Context) -> None:
    assert (one.info() == two.info()) == (one == two)


def test_another_services_keyring_does_not_know_the_key() -> None:
    context = a_context()
    with pytest.raises(UnknownKey):
        Keyring.generate().open(seal(RING.primary, b"a secret value", context), context)


def test_what_is_not_sealed_is_said_so() -> None:
    with pytest.raises(InvalidSealed):
        RING.open(b"", a_context())
    with pytest.raises(InvalidSealed):
        RING.open(b"\2" + seal(RING.primary, b"x", a_context())[1:], a_context())
    with pytest.raises(InvalidSealed):
        seal(RING.primary, b"x" * (64 * 1024 + 1), a_context())


def test_errors_and_representations_hold_no_secret() -> None:
    context = a_context()
    sealed = seal(RING.primary, b"a-very-secret-value", context)
    opened = RING.open(sealed, context)
    assert "a-very-secret" not in repr(opened)
    assert repr(RING.pairs[0].private)[2:-1] not in repr(RING)
