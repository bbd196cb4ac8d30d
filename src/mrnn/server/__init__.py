"""The server behind `mrnn serve`: `create_app` makes the ASGI application."""

from .app import create_app
from .guard import Access
from .limits import Limits

__all__ = ["Access", "Limits", "create_app"]
