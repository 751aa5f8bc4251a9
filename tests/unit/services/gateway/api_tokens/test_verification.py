"""What a token opens, what each broken one is told, and what of it is looked up and made known."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.gateway import problems
from services.gateway.access import Need, Who
from services.gateway.api_tokens import form
from services.gateway.api_tokens.grants import Grant, Reason
from services.gateway.api_tokens.verification import ApiTokens
from services.gateway.errors import GatewayError, InsufficientScope, PersonNeeded, Unauthenticated
from shared.events.ids import OwnerId, TokenId, fresh
from shared.events.values import TokenScope

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TOKEN = form.fresh()
GRANT = Grant(TokenId(fresh()), OwnerId(fresh()), frozenset({TokenScope.TASKS_READ}), NOW + timedelta(seconds=1))


@dataclass
class Kept:
    """Grants in memory."""

    rows: dict[bytes, Grant] = field(default_factory=dict[bytes, Grant])
    looked_up: int = 0
    uses: list[Grant] = field(default_factory=list[Grant])
    told: list[tuple[Grant, Reason]] = field(default_factory=list[tuple[Grant, Reason]])

    async def find(self, digest: bytes) -> Grant | None:
        self.looked_up += 1
        return self.rows.get(digest)

    async def used(self, grant: Grant) -> None:
        self.uses.append(grant)

    async def refused(self, grant: Grant, reason: Reason) -> None:
        self.told.append((grant, reason))


def kept(**changes: Any) -> Kept:
    return Kept({form.digest(TOKEN): replace(GRANT, **changes)})


def tokens(grants: Kept) -> ApiTokens:
    return ApiTokens(grants, lambda: NOW)


async def refusal(grants: Kept, token: str = TOKEN) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as refused:
        await tokens(grants).caller(token)
    return refused.value


async def test_a_good_token_is_its_owner_as_far_as_it_goes() -> None:
    grants = kept()
    caller = await tokens(grants).caller(TOKEN)
    assert (caller.owner, caller.session_id, caller.email, caller.expires_at) == (GRANT.owner, None, None, GRANT.expires_at)
    assert caller.api_token == GRANT
    assert (grants.uses, grants.told) == ([], [])


async def test_a_use_is_stored_when_it_is_news() -> None:
    grants = kept(use_is_news=True)
    await tokens(grants).caller(TOKEN)
    assert len(grants.uses) == 1


async def test_a_mistyped_token_is_not_even_looked_up() -> None:
    grants = kept()
    for wrong in (TOKEN[:-1], TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b"), "acp_"):
        assert (await refusal(grants, wrong)).slug == "token-malformed"
    assert (grants.looked_up, grants.told) == (0, [])


async def test_a_revoked_token_is_told_the_same_as_one_that_never_was() -> None:
    grants = kept(revoked=True)
    revoked, unknown = await refusal(grants), await refusal(grants, form.fresh())
    documents = [problems.document(error, path="/v1/me", request_id="r") for error in (revoked, unknown)]
    assert documents[0] == documents[1]
    assert revoked.headers == unknown.headers
    assert documents[0].type.endswith(":token-unknown")
    # Who had the token is told of in the trail; who guesses is not.
    assert [reason for _, reason in grants.told] == ["revoked"]


async def test_expired_is_from_that_moment_on_and_revoked_goes_before_it() -> None:
    grants = kept(expires_at=NOW)
    assert (await refusal(grants)).slug == "token-expired"
    assert [reason for _, reason in grants.told] == ["expired"]
    assert (await refusal(kept(expires_at=NOW, revoked=True))).slug == "token-unknown"


@pytest.mark.parametrize("scope", TokenScope)
async def test_a_scope_opens_what_needs_it_and_no_more(scope: TokenScope) -> None:
    grant = replace(GRANT, scopes=frozenset({scope}))
    needs: list[Need] = [*TokenScope, Who.CALLER, Who.PERSON]
    for need in needs:
        grants = kept()
        if need in {scope, Who.CALLER}:
            await tokens(grants).admit(grant, need)
            assert grants.told == []
            continue
        with pytest.raises(PersonNeeded if need is Who.PERSON else InsufficientScope) as refused:
            await tokens(grants).admit(grant, need)
        assert refused.value.status == 403
        assert [reason for _, reason in grants.told] == ["scope"]
        if need is not Who.PERSON:
            assert need in refused.value.detail
            assert f'scope="{need}"' in refused.value.headers["WWW-Authenticate"]


async def test_each_refusal_is_a_line_of_the_log_without_the_token() -> None:
    with capture_logs() as lines:
        await refusal(kept(), "acp_planted")
        await refusal(kept(), form.fresh())
        await refusal(kept(revoked=True))
        await refusal(kept(expires_at=NOW))
        with pytest.raises(GatewayError):
            await tokens(kept()).admit(GRANT, TokenScope.ADMIN)
    assert [line["fault"] for line in lines] == ["malformed", "unknown", "revoked", "expired", "scope"]
    assert {line["event"] for line in lines} == {"token_refused"}
    assert [line.get("token_id") for line in lines] == [None, None, *[GRANT.token_id] * 3]
    assert "acp_" not in str(lines)
