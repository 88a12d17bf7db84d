"""Small RGB pictures in NumPy: cells, discs, bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metabench.envs.layout import Layout

__all__ = ["COLOURS", "canvas", "draw_bars", "draw_cells", "draw_disc", "draw_plane", "draw_ring", "draw_states"]

COLOURS: dict[str, tuple[int, int, int]] = {
    "wall": (70, 74, 82),
    "floor": (240, 240, 236),
    "line": (205, 205, 200),
    "agent": (31, 90, 180),
    "goal": (46, 150, 80),
    "goal 2": (222, 155, 20),
    "goal 3": (200, 50, 60),
    "shade": (190, 180, 170),
}


def canvas(height: int, width: int, colour: str = "floor") -> np.ndarray:
    """A plain picture ``(height, width, 3)`` uint8."""
    return np.full((height, width, 3), COLOURS[colour], dtype=np.uint8)


def draw_disc(picture: np.ndarray, x: float, y: float, radius: float, colour: str) -> None:
    """Fills a disc around pixel (x, y), in place; parts outside the picture are left out."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    picture[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = COLOURS[colour]


def draw_ring(picture: np.ndarray, x: float, y: float, radius: float, colour: str, width: float = 1.5) -> None:
    """Draws a circle around pixel (x, y), in place."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    picture[np.abs(np.hypot(columns - x, rows - y) - radius) <= width / 2] = COLOURS[colour]


def draw_cells(
    layout: Layout, agent: tuple[int, int], marks: Mapping[tuple[int, int], str], pixels: int = 24
) -> np.ndarray:
    """A grid world seen from above, y upwards: floor, marked cells (cell -> colour name), the agent as a disc."""
    height, width = layout.height, layout.width
    picture = canvas(height * pixels + 1, width * pixels + 1, "wall")
    for x, y in layout.cells:
        top, left = (height - 1 - y) * pixels, x * pixels
        picture[top : top + pixels + 1, left : left + pixels + 1] = COLOURS["line"]
        picture[top + 1 : top + pixels, left + 1 : left + pixels] = COLOURS[marks.get((x, y), "floor")]
    x, y = agent
    draw_disc(picture, (x + 0.5) * pixels, (height - 0.5 - y) * pixels, 0.3 * pixels, "agent")
    return picture


def draw_plane(
    limit: float,
    discs: Sequence[tuple[Sequence[float], float, str]],
    *,
    rings: Sequence[tuple[Sequence[float], float, str]] = (),
    agent: Sequence[float],
    pixels: int = 240,
) -> np.ndarray:
    """The square [-limit, limit] x [-limit, limit], y upwards, with discs and rings (middle, radius, colour name)."""
    picture = canvas(pixels, pixels)
    scale = pixels / (2 * limit)

    def place(point: Sequence[float]) -> tuple[float, float]:
        return (point[0] + limit) * scale, (limit - point[1]) * scale

    for middle, radius, colour in discs:
        draw_disc(picture, *place(middle), radius * scale, colour)
    for middle, radius, colour in rings:
        draw_ring(picture, *place(middle), radius * scale, colour)
    draw_disc(picture, *place(agent), 5.0, "agent")
    return picture


def draw_bars(heights: Sequence[float], marked: int, pixels: int = 120) -> np.ndarray:
    """Bars of heights in [0, 1]; the marked one, if it is not negative, in the agent's colour."""
    picture = canvas(pixels, 24 * len(heights))
    for i, height in enumerate(heights):
        top = round((1 - height) * (pixels - 1))
        picture[top:, 24 * i + 4 : 24 * i + 20] = COLOURS["agent" if i == marked else "shade"]
    return picture


def draw_states(states: int, current: int, rewarded: Sequence[int], pixels: int = 240) -> np.ndarray:
    """States on a circle: the current one in the agent's colour, rewarded ones with a ring in the goal's."""
    picture = canvas(pixels, pixels)
    for i in range(states):
        angle = 2 * np.pi * i / states
        x, y = pixels * (0.5 + 0.38 * np.sin(angle)), pixels * (0.5 - 0.38 * np.cos(angle))
        draw_disc(picture, x, y, 14, "agent" if i == current else "line")
        if i in rewarded:
            draw_ring(picture, x, y, 17, "goal", 4)
    return picture
