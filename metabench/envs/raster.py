"""Small RGB pictures in NumPy: cells, discs, bars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metabench.envs.layout import Layout

__all__ = ["COLOURS", "canvas", "draw_cells", "draw_disc", "draw_ring"]

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
