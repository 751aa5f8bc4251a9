"""The ASGI application: every route, and every error as a problem document."""

from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.gateway import problems, public
from services.gateway.api_tokens import endpoints as api_tokens
from services.gateway.budgets import endpoints as budgets
from services.gateway.credentials import endpoints as credentials
from services.gateway.edge import Authenticate, BodyLimits, Edge
from services.gateway.environments import endpoints as environments
from services.gateway.errors import GatewayError
from services.gateway.openapi import TITLE, VERSION, describe
from services.gateway.parts import Parts
from services.gateway.projects import endpoints as projects
from services.gateway.repositories import endpoints as repositories
from services.gateway.tasks import endpoints as tasks
from services.gateway.tasks import results
from services.gateway.trail import endpoints as trail

ROUTERS = (
    *(public.router, projects.router, environments.router, repositories.router, credentials.router, api_tokens.router, budgets.router),
    *(tasks.router, results.router, trail.router),
)


def build(parts: Parts, authenticate: Authenticate) -> FastAPI:
    """The application on these parts."""
    app = FastAPI(title=TITLE, version=VERSION, openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.parts = parts
    for router in ROUTERS:
        app.include_router(router)
    for kind in (GatewayError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refuse)
    limits = BodyLimits(parts.settings.max_body_bytes, parts.settings.body_timeout_seconds)
    app.add_middleware(Edge, authenticate=authenticate, limits=limits)
    app.openapi = describe(app)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    request_id = cast("str", request.scope["state"]["request_id"])
    return problems.response(problems.of_failure(error), path=request.url.path, request_id=request_id)
