"""The comparison runs, and says what it leaves out."""

import time

import pytest


def test_the_table_of_overheads(capsys, monkeypatch, tmp_path, load_script, write_synthetic_table):
    write_synthetic_table(tmp_path / "surrogates" / "cells2-v1", "cells2-v1", ("mnist1d-v1",), seeds=2)
    monkeypatch.chdir(tmp_path)
    search_overhead = load_script("benchmarks/search_overhead.py")
    monkeypatch.setattr(search_overhead, "optuna_peers", _missing)
    monkeypatch.setattr(search_overhead, "syne_tune_peers", lambda: [_peer(search_overhead.Peer)])
    monkeypatch.setattr(search_overhead.logging, "disable", lambda level: None)
    words = ["--on", "cells2-v1/mnist1d-v1", "--trials", "20", "--seeds", "1"]
    search_overhead.main([*words, "--searchers", "random", "greedy-portfolio"])
    title, _, _, ours, left_out, missing, peer = capsys.readouterr().out.splitlines()
    assert title == "cells2-v1/mnist1d-v1, 20 trials, median of 1 seeds, microseconds a trial"
    assert ours.split()[0] == "random"
    own, whole = map(float, ours.split()[1:])
    assert 0 < own < whole
    assert "left out: greedy-portfolio learns from other tasks" in left_out
    assert missing.split(maxsplit=1) == ["Optuna", "left out: not here"]
    name, micros, ratio = peer.rsplit(maxsplit=2)
    assert name == "made up"
    assert float(ratio.replace(",", "")) == pytest.approx(float(micros.replace(",", "")) / own, rel=0.02)


def _missing():
    raise ImportError("not here")


def _peer(maker):
    def make(objective, seed, trials):
        return lambda: (None, {"stage1": "mlp.deq", "stage2": "skip"}), lambda token, score: time.sleep(0.01)

    return maker("random", "made up", make)
