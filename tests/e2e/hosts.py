"""Hosts of the conformance app, beside the one that a stage has."""

import sys

from tests.e2e.processes import Process, Processes

APP = "conformance.app:app"


async def uvicorn(processes: Processes) -> tuple[Process, str]:
    """The app under another server, and where it listens."""
    server = await processes.start("uvicorn", sys.executable, "-m", "uvicorn", APP, "--port", 0)
    said = await server.line("Uvicorn running on http://")
    return server, next(word for word in said.split() if word.startswith("http://"))


async def workers(processes: Processes) -> tuple[Process, str]:
    """The app in two processes: any takes a request, and who hears somebody may be at the other."""
    server = await processes.anywire("workers", "serve", APP, "--port", 0, "--workers", 2)
    return server, (await server.line("Listening on http://")).split()[2]


HOSTS = {"uvicorn": uvicorn, "workers": workers}
