"""The contract's app, mounted in other people's apps: one site for each framework."""

import django.conf
import django.http
import django.urls
import litestar as litestar_package
from fastapi import FastAPI
from litestar import Litestar
from litestar.handlers import asgi
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from anywire import Anywire
from anywire.frameworks.django import site
from tests.hosts.app import make_app

HOME = "/home"

# FastAPI: mounted, and its lifespan runs ours.
in_fastapi = make_app()
fastapi = FastAPI(lifespan=in_fastapi.lifespan)
fastapi.mount("/rt", in_fastapi)


@fastapi.get(HOME)
async def fastapi_home() -> str:
    """A page of the site."""
    return "the site"


# Starlette: two mounts deep, and nobody runs our lifespan.
async def starlette_home(request: Request) -> PlainTextResponse:
    """A page of the site."""
    return PlainTextResponse("the site")


starlette = Starlette(
    routes=[Route(HOME, starlette_home), Mount("/deep", routes=[Mount("/rt", app=make_app())])]
)

# Litestar: an ASGI handler that takes everything below its path.
in_litestar = make_app()


@litestar_package.get(HOME)
async def litestar_home() -> str:
    """A page of the site."""
    return "the site"


litestar = Litestar(
    [litestar_home, asgi("/rt", is_mount=True, copy_scope=True)(in_litestar.__call__)],
    lifespan=[in_litestar.lifespan],
)


# Django: the other way round, since it has no mounts.
def django_home(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """A page of the site."""
    return django.http.HttpResponse("the site")


urlpatterns = [django.urls.path(HOME[1:], django_home)]

if not django.conf.settings.configured:
    django.conf.settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])


def make_django() -> Anywire:
    """The contract's app in front of a Django site."""
    app = make_app()
    app.fallback = site()
    return app


django_site = make_django()
