"""How figures leave a notebook: as drawings or pictures, and with their panels."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from execute import execute
from figure_output import MOST_POINTS, form_of, panels_of
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from ood_lib.figures import class_legend, panels


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def three(**options: object) -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", **options)
    for axis in axes:
        axis.plot([0, 1])
    return figure


def test_lines_are_a_drawing_and_pictures_a_picture() -> None:
    assert form_of(three()) == "svg"
    assert form_of(panels([[np.zeros((4, 8, 3)), np.zeros((4, 8))]])) == "png"
    crowded = plt.figure()
    crowded.add_subplot().scatter(*np.zeros((2, MOST_POINTS + 1)))
    assert form_of(crowded) == "png"


def test_panels_side_by_side_are_cut_between_their_boxes() -> None:
    figure = three()
    found = panels_of(figure)
    assert len(found["boxes"]) == 3
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, bbox_inches="tight", facecolor="white")
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert found["inches"] == pytest.approx(pixels.shape[1] / 100, abs=0.02)
    for left, top, _right, bottom in found["boxes"]:
        assert (top, bottom) == (0, 1)
        if left:  # nothing is drawn where it is cut
            assert (pixels[:, round(left * pixels.shape[1])] == 255).all()
    assert found["boxes"][0][0] == 0 and found["boxes"][-1][2] == 1


def test_panels_that_read_their_neighbours_axis_stay_together() -> None:
    assert len(panels_of(three(sharey=True))["boxes"]) == 1


def test_a_colour_bar_stays_with_its_neighbour_and_a_legend_below_comes_last() -> None:
    figure = panels([[np.zeros((20, 40)), np.zeros((20, 40))]], ["a", "b"], "entropy")
    assert len(panels_of(figure)["boxes"]) == 2
    class_legend(figure)
    *columns, legend = panels_of(figure)["boxes"]
    assert len(columns) == 2
    assert all(legend[1] > bottom for *_, bottom in columns)


def test_an_executed_notebook_shows_each_figure_once_in_its_form(tmp_path: Path) -> None:
    setup = "from ood_lib.figures import panels, use_style\nimport matplotlib.pyplot as plt\n"
    cells = [
        new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        new_code_cell(setup + "use_style()"),
        new_code_cell("plt.plot([0, 1]);"),
        new_code_cell("panels([[[[0., 1.], [1., 0.]]]]);"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "a.ipynb")
    execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
    *_, drawing, picture = (cell.outputs for cell in nbformat.read(tmp_path / "b.ipynb", 4).cells)
    assert [set(output.data) - {"text/plain"} for output in drawing] == [{"image/svg+xml"}]
    assert [set(output.data) - {"text/plain"} for output in picture] == [{"image/png"}]
    assert drawing[0].metadata["image/svg+xml"]["boxes"] == [[0.0, 0.0, 1.0, 1.0]]
    assert ET.fromstring(drawing[0].data["image/svg+xml"]).tag.endswith("svg")
