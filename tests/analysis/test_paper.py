"""Figures for papers: all are written, PNG and PDF, and the critical-difference diagram shows the ranks."""

import pytest

from metabench.analysis.draw_curves import draw_curves_of_tasks
from metabench.analysis.draw_ranks import draw_critical_difference
from metabench.analysis.drawing import look, new_figure, set_log_axis, set_regret_axis
from metabench.analysis.paper import save_figures
from metabench.analysis.report import build_report


def test_every_figure_is_written_twice(made_up, tmp_path):
    document = build_report(made_up.folder(tmp_path / "run", tasks=made_up.TASKS[:2], seeds=2, trials=8))
    paths = save_figures(document, tmp_path / "new" / "figures")
    stems = {path.stem for path in paths}
    assert stems == {
        "regret--cells9-v1--hills-v1",
        "regret--cells9-v1--plains-v1",
        "mean-ranks",
        "critical-difference",
        "interquartile-mean",
        "performance-profile",
        "probability-of-improvement",
        "heat-map",
    }
    assert {path.suffix for path in paths} == {".png", ".pdf"}
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"%PDF")


def test_the_same_document_gives_the_same_bytes(made_up, tmp_path):
    document = build_report(made_up.folder(tmp_path / "run", tasks=made_up.TASKS[:1], searchers=("random",), trials=5))
    first, second = (save_figures(document, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_critical_difference_diagram_is_true_to_the_numbers():
    ranking = {"mean_ranks": [2.75, 1.25, 2.0], "cliques": [[1, 2], [2, 0]]}
    axes = draw_critical_difference({"searchers": ["c", "a", "b"], "ranking": ranking}).axes[0]
    texts = {text.get_text() for text in axes.texts}
    assert {"a  1.25", "b  2.00", "2.75  c", "1", "2", "3"} <= texts
    feet = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 3]
    assert feet == [1.25, 2.0, 2.75]
    bars = sorted(tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 4)
    assert bars[0][0] < 1.25 < 2.0 < bars[0][1] < 2.75
    assert 1.25 < bars[1][0] < 2.0 < 2.75 < bars[1][1]
    heights = {line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 4}
    assert len(heights) == 2


def test_28_searchers_look_different():
    looks = {(style["color"], style["linestyle"]) for style in map(look, range(28))}
    assert len(looks) == 28


@pytest.mark.parametrize(("values", "scale"), [([0.5, 2.0], "log"), ([0.0, 2.0], "symlog"), ([0.0], "linear")])
def test_a_regret_of_zero_has_a_place(values, scale):
    axes = new_figure(2, 2).subplots()
    set_regret_axis(axes, values)
    assert axes.get_yscale() == scale
    assert axes.get_ylim()[0] <= min(values)


@pytest.mark.parametrize(("end", "shown"), [(200, ["1", "2", "5", "10", "20", "50", "100", "200"]), (2000, None)])
def test_the_numbers_of_a_long_axis_do_not_touch(end, shown):
    axes = new_figure(4, 3).subplots()
    axes.plot([1, end], [1, 1])
    set_log_axis(axes, "Evaluations")
    low, high = axes.get_xlim()
    ticks = [f"{tick:,.6g}" for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks == (shown or ["1", "10", "100", "1,000"])


def test_the_curves_of_all_tasks_share_one_legend(made_up, tmp_path):
    document = build_report(made_up.folder(tmp_path / "run", seeds=2, trials=8))
    figure = draw_curves_of_tasks(document)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == list(made_up.TASKS)
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 3]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(made_up.SEARCHERS)
    median = document["anytime"][1]["curves"]["evaluations"]["test"]["random"]["median"]
    assert list(figure.axes[1].lines[0].get_ydata()) == pytest.approx([100 * value for value in median])
