"""Rendering pages: one Jinja environment, everything escaped unless a template says otherwise."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from twinline.kit.phones import shown_phone

WEB = Path(__file__).parent.parent / "web"

environment = Environment(
    loader=FileSystemLoader(WEB / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.globals["phone"] = shown_phone


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The page, with ``viewer`` (accounts.Viewer or None) and ``request`` in reach of the template."""
    viewer = getattr(request.state, "viewer", None)
    html = environment.get_template(template).render(request=request, viewer=viewer, **context)
    return HTMLResponse(html, status_code=status)


def see_other(path: str) -> RedirectResponse:
    """Where to go on after a form: reloading the page that comes then doesn't send the form again."""
    return RedirectResponse(path, status_code=303)
