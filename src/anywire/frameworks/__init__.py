"""Frameworks: what an app needs to be at home in FastAPI, Starlette, Litestar and Django.

None of them is imported unless the application does.
"""
