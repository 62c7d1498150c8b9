"""A picture as the bytes of a file: SVG from a template, PNG by Pillow, both from the same places."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hawqlang.backend.render import render
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.stages.pareto.picture import HEIGHT, WIDTH, Mark, Picture, Place

SHRINK = 5
"""Units of the picture to one pixel of a PNG."""

FINE = 2
"""It is drawn this many times larger and made smaller, for smooth edges."""

INK, GREY, GRID, FRAME = "#24292f", "#57606a", "#d8dee4", "#8c959f"
BLUE, RED, PINK, WHITE = "#0969da", "#cf222e", "#bf3989", "#ffffff"


def svg(made: Picture) -> bytes:
    """Return the picture as SVG."""
    return render("report/pareto.svg.j2", p=made).encode()


def png(made: Picture) -> bytes:
    """Return the picture as PNG of 1920 x 1200 pixels."""
    size = (WIDTH // SHRINK, HEIGHT // SHRINK)
    canvas = Image.new("RGB", (size[0] * FINE, size[1] * FINE), WHITE)
    _Painter(canvas).paint(made)
    file = io.BytesIO()
    canvas.resize(size, Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


FORMATS: Mapping[str, Callable[[Picture], bytes]] = {".svg": svg, ".png": png}


def drawing(path: Path) -> Callable[[Picture], bytes]:
    """Return what draws a picture in the format that a file's name asks for.

    Raises:
        ToolError: the name ends in neither ``.svg`` nor ``.png`` (HQ834).
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ToolError(
            Diagnostic(
                code="HQ834",
                severity="error",
                message=f"cannot draw '{path}': its name ends in neither `.svg` nor `.png`",
                help=f"write `--plot {path.stem}.svg`",
            )
        )
    return found


class _Painter:
    """Paints in the units of the picture."""

    def __init__(self, canvas: Image.Image) -> None:
        self._canvas = canvas
        self._draw = ImageDraw.Draw(canvas)

    def paint(self, made: Picture) -> None:
        self._grid(made)
        self._bounds(made)
        self._line(made.stairs, BLUE, 18)
        for dot in made.dots:
            self._dot(dot.x, dot.y, 42, BLUE, fill=BLUE if dot.proven else WHITE)
        if made.chosen is not None:
            dot, end = made.chosen, made.chosen.x > made.turn
            self._dot(dot.x, dot.y, 85, WHITE, fill=RED)
            place = (dot.x - 150 if end else dot.x + 150, dot.y - 150)
            self._text(place, dot.text, RED, "rs" if end else "ls")

    def _grid(self, made: Picture) -> None:
        left, right, top, bottom = made.left, made.right, made.top, made.bottom
        for tick in made.x_ticks:
            self._line(((tick.at, top), (tick.at, bottom)), GRID, 8)
            self._text((tick.at, bottom + 110), tick.text, GREY, "mt")
        for tick in made.y_ticks:
            self._line(((left, tick.at), (right, tick.at)), GRID, 8)
            self._text((left - 90, tick.at), tick.text, GREY, "rm")
        frame = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        self._line(frame, FRAME, 12)
        self._text((left, top - 330), made.title, INK, "ls", 200)
        self._text(((left + right) // 2, bottom + 620), made.x_title, INK, "ms", 200)
        self._upright((260, (top + bottom) // 2), made.y_title, 200)

    def _bounds(self, made: Picture) -> None:
        for bound in made.x_bounds:
            self._dashed(bound, made.top, made.bottom, upright=True)
            place = (bound.at, made.top - 60)
            self._text(place, bound.text, PINK, "rs" if bound.at > made.turn else "ls")
        for bound in made.y_bounds:
            self._dashed(bound, made.left, made.right, upright=False)
            self._text((made.right - 100, bound.at - 60), bound.text, PINK, "rs")

    def _dashed(self, bound: Mark, start: int, end: int, *, upright: bool) -> None:
        for begin in range(start, end, 140):
            at, stop = bound.at, min(begin + 80, end)
            places = ((at, begin), (at, stop)) if upright else ((begin, at), (stop, at))
            self._line(places, PINK, 16)

    def _line(self, places: tuple[Place, ...], color: str, width: int) -> None:
        points = [(_px(x), _px(y)) for x, y in places]
        self._draw.line(points, fill=color, width=max(1, _px(width)), joint="curve")

    def _dot(self, x: int, y: int, radius: int, edge: str, *, fill: str) -> None:
        box = [(_px(x - radius), _px(y - radius)), (_px(x + radius), _px(y + radius))]
        self._draw.ellipse(box, fill=fill, outline=edge, width=_px(18))

    def _text(self, place: Place, text: str, color: str, anchor: str, size: int = 170) -> None:
        x, y = place
        self._draw.text((_px(x), _px(y)), text, color, _font(size), anchor)

    def _upright(self, place: Place, text: str, size: int) -> None:
        """Write text that reads upwards, its baseline's middle at a place."""
        font = _font(size)
        width, height = (round(one) for one in font.getbbox(text, anchor="lt")[2:])
        label = Image.new("L", (width, height), 0)
        ImageDraw.Draw(label).text((0, 0), text, 255, font, "lt")
        turned = label.rotate(90, expand=True)
        x, y = _px(place[0]) - height, _px(place[1]) - width // 2
        self._canvas.paste(Image.new("RGB", turned.size, INK), (x, y), turned)


def _px(units: int) -> int:
    return units * FINE // SHRINK


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_px(size))
