"""The page as text: whole, self-contained, escaped. What a browser makes of it is in test_report_browser."""

import json
import re
from html.parser import HTMLParser

import pytest

from metabench.analysis.page import render_page
from metabench.analysis.page_text import FILTERS
from metabench.analysis.report import build_report
from metabench.analysis.runs import run_file

_VOID = {"meta", "link", "br", "hr", "img", "input", "path"}


class _Checker(HTMLParser):
    """Collects tags and complains about one that is closed out of turn."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.ids, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for key, value in attributes if key == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


def _check(page):
    checker = _Checker()
    checker.feed(page)
    return checker


@pytest.fixture
def page(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "run")
    (folder / made_up.TASKS[0] / "random" / "seed-002.jsonl").unlink()
    return render_page(build_report(folder, command="metabench report run"))


def test_the_page_is_well_formed(page):
    found = _check(page)
    assert found.wrong == []
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))


def test_the_page_needs_nothing_beside_it(page):
    found = _check(page)
    assert not any(tag in ("link", "img", "iframe", "object") for tag, _ in found.tags)
    assert not any("src" in attributes for _, attributes in found.tags)
    assert all(a["href"].startswith("#") for tag, a in found.tags if tag == "a")
    assert "@import" not in page
    assert "url(http" not in page
    assert next(a["content"] for _, a in found.tags if a.get("http-equiv")).startswith("default-src 'none'")


def test_every_link_of_the_contents_leads_somewhere(page):
    found = _check(page)
    assert {a["href"][1:] for tag, a in found.tags if tag == "a"} <= set(found.ids)


def test_missing_runs_are_marked(page):
    assert "3 of 4" in page
    assert "1 missing" in page
    assert "random on cells9-v1/hills-v1, seed 2: not finished" in page


def test_the_command_and_the_table_are_named(page):
    assert "metabench report run" in page
    assert "ab" * 32 in page


def test_names_are_escaped(made_up, tmp_path):
    name = "</script><b>&"
    folder = made_up.folder(tmp_path / "run", searchers=("random",), tasks=(made_up.TASKS[0],))
    plan = json.loads((folder / "run.json").read_text())
    plan["searchers"].append(name)
    (folder / "run.json").write_text(json.dumps(plan))
    path = run_file(folder, made_up.TASKS[0], name, 0)
    path.parent.mkdir()
    path.write_text("".join(f"{json.dumps(trial)}\n" for trial in made_up.trials(name, 0, 0, 30, 0.5)))
    page = render_page(build_report(folder))
    assert "</script><b>" not in page
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["searchers"] == ["random", name]


def test_the_study_stays_below_a_megabyte(made_up, tmp_path):
    """Eleven searchers on five tasks with 200 trials; trade-offs, which made-up tasks lack, take some 60 kB a task."""
    names = tuple(f"searcher-{number}" for number in range(11))
    tasks = tuple(f"cells9-v1/task{number}-v1" for number in range(5))
    folder = made_up.folder(tmp_path / "run", searchers=names, tasks=tasks, seeds=3, trials=200)
    assert len(render_page(build_report(folder)).encode()) < 700_000


def test_one_searcher_one_seed(made_up, tmp_path):
    page = render_page(build_report(made_up.folder(tmp_path / "run", searchers=("random",), seeds=1, trials=1)))
    assert _check(page).wrong == []
    assert 'id="ranks"' not in page


def test_folders_without_a_common_task(made_up, tmp_path):
    a = made_up.folder(tmp_path / "a", searchers=("random",), tasks=("cells9-v1/hills-v1",))
    b = made_up.folder(tmp_path / "b", searchers=("local-search",), tasks=("cells9-v1/coast-v1",))
    page = render_page(build_report([a, b]))
    assert _check(page).wrong == []
    assert "no run" in page  # in the heat map


def test_a_searcher_without_a_run_is_in_the_leaderboard_only(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "run", tasks=made_up.TASKS[:1], seeds=2)
    for path in (folder / made_up.TASKS[0] / "local-search").iterdir():
        path.unlink()
    document = build_report(folder)
    assert document["searchers"] == ["random", "regularized-evolution"]
    assert len(document["ranking"]["mean_ranks"]) == 2
    assert document["leaderboard"][-1]["searcher"] == "local-search"
    page = render_page(document)
    assert "0 of 2" in page
    assert "local-search has no finished run and is in the leaderboard only." in page


def test_cards_are_shown_where_there_are_some(made_up, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = made_up.folder(tmp_path / "run")
    assert 'id="card"' not in render_page(build_report(folder))
    figures = {"r2": 0.912345, "sparse_kendall_tau": 0.81, "r2_ceiling": 0.95, "kendall_tau_ceiling": None}
    coverage = {"replicate": {"coverage": {"0.5": 0.51, "0.8": 0.8, "0.95": 0.94}}}
    validated = {"last_epoch": {"test_score": {**figures, "calibration": coverage}}, "by_blocks": {}}
    reliability = {"architecture_sd": 0.02, "seed_sd": 0.01, "icc": 0.8, "icc_low": 0.75, "icc_high": None}
    task = {
        "share": 1.0,
        "seeds": 3,
        "test_score": {"min": 0.4, "median": 0.5, "max": 0.6},
        "reliability": {**reliability, "consistency": 0.85},
        "seed_kendall_tau": 0.66,
        "surrogate": {"neural": {"cross_validation": validated, "one_seed": None}, "torn": {}},
    }
    place = tmp_path / "surrogates" / "cells9-v1" / "card.json"
    place.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"tasks": {"a": 1}}'):
        place.write_text(text)
        assert build_report(folder)["cards"] == []
    place.write_text(json.dumps({"tasks": {"mnist1d-v1": task}}))
    page = render_page(build_report(folder))
    for shown in ('id="card"', "0.912", "50.0 (40.0 to 60.0)", "51, 80, 94", "neural"):
        assert shown in page
    assert "torn" not in page


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("points", None, "\N{EN DASH}"),
        ("points", 0.01234, "1.23"),
        ("points", 0.0001234, "0.012"),
        ("points", 0.0, "0.00"),
        ("significant", 1234.5, "1,230"),
        ("significant", 0.26131, "0.261"),
        ("duration", 2e-5, "20 µs"),
        ("duration", 0.25, "250 ms"),
        ("duration", 600.0, "10 min"),
        ("duration", 10_000.0, "2.8 h"),
        ("p_value", 0.0004, "< 0.001"),
        ("moment", "2026-11-24T12:13:14+00:00", "2026-11-24 12:13 UTC"),
    ],
)
def test_numbers_are_written_for_people(name, value, text):
    assert FILTERS[name](value) == text
