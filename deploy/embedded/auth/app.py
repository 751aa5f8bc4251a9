"""The HTTP face under /auth/v1: GoTrue's paths, bodies, headers and error shapes."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from deploy.embedded.auth import keys, requests
from deploy.embedded.auth.errors import AuthError, NoAuthorization, ValidationFailed
from deploy.embedded.auth.service import AuthService
from deploy.embedded.auth.settings import AuthSettings
from deploy.embedded.auth.throttle import Throttle
from deploy.embedded.auth.tokens import AccessTokens, Caller
from shared.secrets.files import read_private
from shared.store.database import Database
from shared.store.errors import StoreError
from shared.store.pruning import Pruning, Rule
from shared.store.settings import StoreSettings

log = structlog.get_logger(__name__)

API_VERSION_HEADER = "X-Supabase-Api-Version"
_NEW_ERRORS_SINCE = "2024-01-01"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LOOPBACK = frozenset({"127.0.0.1", "::1"})

router = APIRouter(prefix="/auth/v1")


def _service(request: Request) -> AuthService:
    return request.app.state.service


def _caller(request: Request, authorization: Annotated[str | None, Header()] = None) -> Caller:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NoAuthorization
    return _service(request).tokens.read(token.strip())


Service = Annotated[AuthService, Depends(_service)]
Authenticated = Annotated[Caller, Depends(_caller)]


@router.post("/signup")
async def sign_up(request: Request, service: Service) -> dict[str, Any]:
    """A new account and its first session."""
    given = await requests.body(request, requests.SignUp)
    return await service.sign_up(given.email, given.password, given.data or {})


@router.post("/token")
async def token(request: Request, service: Service, grant_type: Annotated[str, Query()] = "") -> dict[str, Any]:
    """A session by password, or its next tokens by refresh token."""
    match grant_type:
        case "password":
            given = await requests.body(request, requests.PasswordGrant)
            return await service.sign_in(given.email.strip().lower(), given.password, _address(request))
        case "refresh_token":
            return await service.refresh((await requests.body(request, requests.RefreshGrant)).refresh_token)
        case _:
            raise ValidationFailed("grant_type must be password or refresh_token")


@router.get("/user")
async def user(service: Service, caller: Authenticated) -> dict[str, Any]:
    """The caller's account."""
    return await service.user(caller)


@router.put("/user")
async def change(request: Request, service: Service, caller: Authenticated) -> dict[str, Any]:
    """Change e-mail address, password or metadata."""
    given = await requests.body(request, requests.Change)
    return await service.change(caller, email=given.email, password=given.password, metadata=given.data or {})


@router.post("/logout", status_code=204)
async def sign_out(
    service: Service, caller: Authenticated, scope: Annotated[Literal["global", "local", "others"], Query()] = "global"
) -> None:
    """End sessions."""
    await service.sign_out(caller, scope)


@router.get("/.well-known/jwks.json")
async def jwks(service: Service, response: Response) -> dict[str, Any]:
    """The public key that access tokens are verified with."""
    response.headers["Cache-Control"] = "public, max-age=600"
    return keys.jwks(service.tokens.key)


@router.get("/health")
async def health(service: Service) -> dict[str, str]:
    """Ready when the database answers."""
    await service.database.ready()
    return {"name": "GoTrue", "version": "v2-async-code", "description": "The embedded auth server of Async Code"}


@router.get("/settings")
async def settings(service: Service) -> dict[str, Any]:
    """What clients may offer."""
    return {
        "external": {"email": True, "phone": False, "anonymous_users": False},
        "disable_signup": not service.settings.signup_enabled,
        "mailer_autoconfirm": True,
        "phone_autoconfirm": False,
        "sms_provider": "",
        "saml_enabled": False,
    }


def create(settings: AuthSettings, store: StoreSettings) -> FastAPI:
    """The application; it opens its database when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        database = await Database.open(store)
        tokens = AccessTokens(keys.load(settings.signing_key_file), settings.issuer, settings.access_token_seconds)
        app.state.service = AuthService(settings, database, tokens, read_private(settings.refresh_key_file), Throttle())
        pruning = asyncio.create_task(Pruning(database, "embedded_auth", (idle_sessions(settings),)).run())
        yield
        pruning.cancel()
        await asyncio.wait({pruning})
        await database.close()

    app = FastAPI(title="Embedded auth", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.include_router(router)
    app.add_exception_handler(AuthError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(StoreError, _unavailable)
    app.middleware("http")(_headers)
    return app


def idle_sessions(settings: AuthSettings) -> Rule:
    """Sessions that nobody can refresh any more."""
    return Rule(table="embedded_auth.sessions", since=("refreshed_at",), kept=timedelta(days=settings.session_idle_days))


async def _headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


async def _refused(request: Request, error: Exception) -> JSONResponse:
    refused = error if isinstance(error, AuthError) else AuthError()
    version = request.headers.get(API_VERSION_HEADER, "")
    headers = {"x-sb-error-code": refused.code, **refused.headers}
    if _VERSION.fullmatch(version) and version >= _NEW_ERRORS_SINCE:
        headers[API_VERSION_HEADER] = version
        content: dict[str, Any] = {"code": refused.code, "message": str(refused), **refused.details}
    else:
        content = {"code": refused.status, "error_code": refused.code, "msg": str(refused), **refused.details}
    return JSONResponse(content, refused.status, headers)


async def _malformed(request: Request, _error: Exception) -> JSONResponse:
    return await _refused(request, ValidationFailed())


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    log.warning("store_failed", reason=str(error))
    refused = AuthError("The database is not available, please try again")
    refused.status = 503
    return await _refused(request, refused)


def _address(request: Request) -> str | None:
    """Who asks: for its clients the gateway says it, and only what is on this machine is believed; None when it does not."""
    peer = request.client.host if request.client else "unknown"
    if peer not in _LOOPBACK:
        return peer
    return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()[:64] or None
