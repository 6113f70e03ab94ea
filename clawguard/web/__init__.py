"""Tokens in HTTP requests: one reader, one table of answers, and a thin adapter for each kind of app.

bearer.py  reads the Authorization header and answers refusals (RFC 6750); knows no framework
cookies.py   tokens in a cookie, for pages in browsers, where an app asks for it
metadata.py  what a protected resource says about itself (RFC 9728)
front.py   what every adapter does alike
wsgi.py    middleware for any WSGI app
asgi.py    middleware for any ASGI app: requests and WebSockets
starlette.py, fastapi.py, flask.py, django.py, drf.py   what frameworks have beside it, one extra each

An adapter takes a `Verifier` (or a `SessionManager`), checks the token of each request, and binds the
session, so that `current_session()` and `@requires` work in the app.
"""
