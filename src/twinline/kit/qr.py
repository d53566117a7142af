"""QR codes, drawn here: what a code says goes to nobody but the page it is on."""

import segno
from markupsafe import Markup


def svg(text: str) -> Markup:
    """An SVG element as large as it is let be. Black on white in any theme, since cameras want it so."""
    code = segno.make(text, error="m", micro=False)
    return Markup(code.svg_inline(border=2, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None))  # noqa: S704
