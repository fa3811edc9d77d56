"""Django: a site behind an app, one process for both, with Django's users and sessions.

uvicorn --app-dir examples/django app:app     (or: anywire serve examples/django/app.py:app)

Log in as ana, password ana, at http://127.0.0.1:8000/, and open the page twice.
"""

import tempfile
from pathlib import Path

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from anywire import Anywire, Hello, Member, Refused, User

if not settings.configured:
    settings.configure(
        SECRET_KEY="for this example alone",
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": Path(tempfile.mkdtemp(prefix="anywire-django-")) / "site.sqlite3",
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
    )

from anywire.frameworks.django import site, user_of

app = Anywire(fallback=site())
news = app.channel("news", history=20)


@app.authenticate
async def who(hello: Hello) -> User:
    """Django's user of this browser's session."""
    user = await user_of(hello)
    if user is None:
        raise Refused("unknown", "log in first")
    return User(str(user.pk), {"name": user.get_username()})


@news.on("say")
async def say(member: Member, text: str) -> None:
    """Tell everybody, by the name that Django knows."""
    await member.room.publish("said", {"by": member.user.claims["name"], "text": text})


PAGE = """<!doctype html><meta charset="utf-8"><title>News</title>
<form><input name="text" autofocus><button>Say</button></form><ul></ul>
<script type="module">
import { connect } from "/anywire.js"
const news = connect("/ws").channel("news")
await news.join()
news.on("said", ({ by, text }) =>
  document.querySelector("ul").append(
    Object.assign(document.createElement("li"), { textContent: `${by}: ${text}` })))
document.querySelector("form").onsubmit = (event) => {
  event.preventDefault()
  news.push("say", event.target.text.value)
  event.target.reset()
}
</script>"""
LOGIN = """<!doctype html><title>Log in</title><form method="post" action="/login">
<input name="name" value="ana"><input name="password" type="password"><button>Log in</button>
</form>"""


def home(request: HttpRequest) -> HttpResponse:
    """The news for who is logged in, a form for who is not."""
    return HttpResponse(PAGE if request.user.is_authenticated else LOGIN)


def log_in(request: HttpRequest) -> HttpResponse:
    """Django's login: the session cookie is what `who` above finds the user by."""
    from django.contrib.auth import authenticate, login

    name, password = (request.POST.get(field, "") for field in ("name", "password"))
    user = authenticate(request, username=name, password=password)
    if user is None:
        return HttpResponse("wrong name or password", status=403)
    login(request, user)
    return HttpResponseRedirect("/")


def announce(request: HttpRequest) -> HttpResponse:
    """An ordinary, synchronous view that writes into a room."""
    said = {"by": "the site", "text": request.GET.get("text", "")}
    async_to_sync(app.room("news").publish)("said", said)
    return HttpResponse("said")


urlpatterns = [path("", home), path("login", log_in), path("announce", announce)]


def fill() -> None:
    """Make the tables, and ana."""
    from django.contrib.auth.models import User as Account

    call_command("migrate", verbosity=0)
    Account.objects.create_user("ana", password="ana")


fill()
