"""The study's script on small tables: what it runs, leaves out and writes, and that it goes on where it stopped."""

import json

import pytest

from metabench import content

SHIPPED = content.folder("surrogates") / "cells2-v1" / "table"
pytestmark = pytest.mark.skipif(
    not (SHIPPED / "manifest.json").is_file(), reason="the table of cells2-v1 is not built here"
)
FAST = ["--without", "smac", "smac-multi-fidelity", "bananas", "tpe", "hyperband", "asha"]
FASTEST = [*FAST, "regularized-evolution", "local-search", "successive-halving"]


@pytest.fixture(scope="module")
def study(load_script):
    return load_script("studies/search.py")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_command_makes_runs_page_and_claims(study, write_synthetic_table, workplace, capsys):
    write_synthetic_table(workplace / "surrogates" / "cells2-v1", "cells2-v1", ("mnist1d-v1",), seeds=3)
    readme = workplace / "README.md"
    readme.write_text("before\n<!-- study -->\nold\n<!-- /study -->\nafter\n")
    words = ["--space", "cells2-v1", "--trials", "12", "--seeds", "2", *FAST, "--readme", "README.md"]
    assert study.main(words) == 0
    out = capsys.readouterr().out
    assert "note: greedy-portfolio left out: the table has no other task to learn from." in out
    assert "note: smac left out by --without." in out
    searchers = "random regularized-evolution local-search successive-halving"
    assert f"+ metabench search {searchers} --on cells2-v1/mnist1d-v1 --trials 12 --seeds 2" in out
    assert (workplace / "runs/study/report.html").is_file()
    found = json.loads((workplace / "runs/study/claims/summary.json").read_text())
    assert found["searchers"] == searchers.split()
    assert (found["budget"], found["seeds"], found["rivals"]) == (12, 2, [])
    text = readme.read_text()
    assert text.startswith("before\n<!-- study -->\n\n![Test regret")
    assert text.endswith("(runs/study/claims/README.md).\n\n<!-- /study -->\nafter\n")
    assert found["claims"][0]["text"] in text

    kept = workplace / "runs/study/cells2-v1/mnist1d-v1/random/seed-001.jsonl"
    before, lost = kept.stat().st_mtime_ns, kept.with_name("seed-000.jsonl")
    lost.unlink()
    assert study.main(words) == 0
    assert lost.is_file()
    assert kept.stat().st_mtime_ns == before  # a second call does what is missing and no more


def test_the_dry_run_says_what_smac_costs(study, write_synthetic_table, workplace, capsys):
    write_synthetic_table(workplace / "surrogates" / "cells2-v1", "cells2-v1", ("mnist1d-v1",), seeds=3)
    assert study.main(["--space", "cells2-v1", "--dry-run"]) == 0
    out = capsys.readouterr().out
    # 20 seeds of 200 trials on one task at 0.06 and 0.03 s: 4 and 2 minutes
    assert "of these: smac-multi-fidelity 4 min, smac 2 min, " in out
    assert not (workplace / "runs").exists()


def test_every_task_of_the_table_is_searched_and_gaps_are_named(study, write_synthetic_table, workplace, capsys):
    tasks = ("mnist1d-v1", "letter-v1")
    write_synthetic_table(workplace / "surrogates" / "cells2-v1", "cells2-v1", tasks, seeds=2, leave_out=3)
    readme = workplace / "README.md"
    readme.write_text("<!-- study -->\n<!-- /study -->\n")
    words = ["--space", "cells2-v1", "--trials", "6", "--seeds", "2", *FASTEST]
    code = study.main([*words, "--readme", "README.md"])
    out = capsys.readouterr().out
    assert code == 0
    assert "--on cells2-v1/mnist1d-v1 cells2-v1/letter-v1 " in out
    assert "+ metabench search random greedy-portfolio --on" in out
    assert "note: cells2-v1/letter-v1 has " in out
    assert "architectures have no test score; regret is against the best of the others." in out
    assert readme.read_text() == "<!-- study -->\n<!-- /study -->\n"  # a study of a part is not put on show


def test_a_space_without_a_table_gets_one_line(study, workplace, capsys):
    assert study.main(["--space", "cells9-v1"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("study: space 'cells9-v1' has no table here; build it with 'metabench build")


def test_a_run_folder_of_another_table_is_refused(study, write_synthetic_table, workplace, capsys):
    write_synthetic_table(workplace / "surrogates" / "cells2-v1", "cells2-v1", ("mnist1d-v1",), seeds=3)
    words = ["--space", "cells2-v1", "--trials", "3", "--seeds", "1", *FASTEST]
    assert study.main(words) == 0
    write_synthetic_table(workplace / "surrogates" / "cells2-v1", "cells2-v1", ("mnist1d-v1",), seeds=2)
    capsys.readouterr()
    assert study.main(words) == 2
    said = capsys.readouterr().err
    assert (
        "runs/study belongs to another plan: its benchmarks cells2-v1/mnist1d-v1 replicates is [0, 1, 2], not" in said
    )
