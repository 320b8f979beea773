"""How do all pictures look? Readable at 700 pixels, on a light page and on a dark one.

A picture in a page cannot ask the page for its colours: `currentColor` is black there. But it can ask for the reader's
choice of dark or light, with a style of its own. Colours are named once, here, by what they mean. None is the only
sign of anything: what was refused is also drawn below its line.
"""

from collections.abc import Iterable
from html import escape

WIDTH = 700
_FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

LIGHT = {
    "ground": "#ffffff",
    "edge": "#c9d3dd",
    "ink": "#1f2933",
    "quiet": "#52606d",
    "blue": "#2b6cb0",
    "pale": "#dbe9f6",
    "green": "#1b7f4b",
    "mint": "#dcf1e4",
    "red": "#c22f2f",
    "orange": "#a5661a",
    "sand": "#fbeed9",
    "violet": "#7048a8",
}
DARK = {
    "ground": "#161b22",
    "edge": "#3d4651",
    "ink": "#e6edf3",
    "quiet": "#9aa7b4",
    "blue": "#6cb0f5",
    "pale": "#1d3450",
    "green": "#56c98b",
    "mint": "#173a28",
    "red": "#ff8078",
    "orange": "#e0a458",
    "sand": "#3f2f17",
    "violet": "#bb9af0",
}


def drawing(width: int, height: int, title: str, lines: Iterable[str], size: int = 12) -> str:
    """Return an SVG with a ground, a title for those who hear it, and these elements.

    An element gets its colours from classes: `f-green` fills, `s-green` strokes.
    """
    attributes = f'width="{width}" height="{height}" role="img" font-family="{_FONTS}" font-size="{size}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {attributes}>',
        f"<title>{escape(title)}</title>",
        f"<style>{_rules(LIGHT)} @media (prefers-color-scheme: dark) {{ {_rules(DARK)} }}</style>",
        f'<rect class="f-ground s-edge" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        *lines,
        "</svg>\n",
    ])  # fmt: skip


def text(x: float, y: float, said: str, color: str = "ink", more: str = "") -> str:
    """Return a line of text; `more` are further attributes."""
    return f'<text class="f-{color}" x="{x:.1f}" y="{y:.1f}"{f" {more}" if more else ""}>{escape(said)}</text>'


def box(x: float, y: float, width: float, height: float, classes: str, more: str = "") -> str:  # noqa: PLR0913, PLR0917 - SVG's
    """Return a rectangle."""
    return (
        f'<rect class="{classes}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f"{f' {more}' if more else ''}/>"
    )


def line(x: float, y: float, to_x: float, to_y: float, color: str = "edge") -> str:
    """Return a straight line."""
    return f'<path class="s-{color}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def _rules(colors: dict[str, str]) -> str:
    return " ".join(f".f-{name} {{ fill: {color} }} .s-{name} {{ stroke: {color} }}" for name, color in colors.items())
