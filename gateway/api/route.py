"""The route class of the gateway's own JSON API, and the dependency that hands the services to its handlers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from breakeven.gateway.api.errors import invalid
from breakeven.gateway.api.request_body import ReadRequest, read_body
from breakeven.gateway.api.security import BearerKey
from breakeven.gateway.runtime.services import Services

_WITH_BODY = {"POST", "PUT", "PATCH"}


class ApiRoute(APIRoute):
    """A route that checks the key first, then reads the body within limits, then lets FastAPI do the rest.

    FastAPI alone reads and decodes the whole body before it calls the dependencies: anybody without a key could make
    the gateway wait for a body and hold it.
    """

    max_body_bytes: ClassVar[int] = 1 << 16
    # `code` of the error for a body that is not what the route declares.
    body_code: ClassVar[str] = "invalid_body"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler within the checks. Raises RequestError: 401, 404, 408, 413, and 400 for what is invalid."""
        handle = super().get_route_handler()
        checks = [one.call for one in self.dependant.dependencies if isinstance(one.call, BearerKey)]
        with_body = bool(_WITH_BODY & set(self.methods or ()))

        async def checked(request: Request) -> Response:
            services: Services = request.app.state.current()
            request.state.services = services
            for check in checks:
                await check(request)
            if with_body:
                body = await read_body(request, self.max_body_bytes, services.config.server.read_seconds)
                request = ReadRequest(request, body)
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise invalid(error, self.body_code) from None

        return checked


async def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


Now = Annotated[Services, Depends(_services)]
"""A handler's services: those in force when its request began, to its end."""
