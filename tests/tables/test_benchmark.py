"""Queries on the shipped table."""

import numpy as np
import pytest

import metabench
from metabench.errors import ArchitectureError, ArgumentError, ContentError, QueryError, TableError, UnknownNameError
from metabench.tables.benchmark import Benchmark


@pytest.fixture(scope="module")
def bench() -> Benchmark:
    return metabench.open("cells2-v1/mnist1d-v1")


def test_the_shipped_table_is_complete_and_was_really_trained(bench: Benchmark) -> None:
    codes = bench.space_definition.canonical_codes
    scores = bench.query_batch(codes, metrics=bench.metrics)
    assert scores.shape == (157, len(bench.metrics))
    assert np.isfinite(scores).all()
    test = scores[:, bench.metrics.index("test_score")]
    assert 0.2 < test.min() < test.max() < 0.8
    assert len(np.unique(test)) > 100


def test_single_and_batch_queries_agree(bench: Benchmark) -> None:
    codes = bench.sample(20, seed=1)
    for epoch in (bench.epochs[0], None):
        for seed in (0, 2, "mean"):
            batch = bench.query_batch(codes, epoch=epoch, seed=seed, metrics=bench.metrics)
            for code, row in zip(codes, batch, strict=True):
                result = bench.query(int(code), epoch=epoch, seed=seed)
                np.testing.assert_allclose([getattr(result, name) for name in bench.metrics], row, rtol=1e-6)
    seeds = np.arange(20) % 3
    mixed = bench.query_batch(codes, seed=seeds)
    assert all(
        mixed[i, 0] == np.float32(bench.query(int(c), seed=int(s)).test_score)
        for i, (c, s) in enumerate(zip(codes, seeds, strict=True))
    )


def test_every_name_of_an_architecture_gives_the_same_answer(bench: Benchmark) -> None:
    wanted = bench.query("mlp.deq,skip")
    space = bench.space_definition
    configuration = space.configuration(wanted.code, bench.space)
    for name in ("skip,mlp.deq", ["mlp.deq", "skip"], configuration, wanted.code, space.architecture(wanted.code)):
        assert bench.query(name) == wanted
    replicates = bench.query("mlp.deq,skip", seed="all")
    assert [r.seed for r in replicates] == [0, 1, 2]
    assert np.mean([r.test_score for r in replicates]) == pytest.approx(wanted.test_score, rel=1e-6)


def test_best_is_sorted(bench: Benchmark) -> None:
    scores = [result.val_score for result in bench.best(157)]
    assert len(scores) == 157
    assert scores == sorted(scores, reverse=True)


def test_solver_metrics_are_what_the_blocks_state(bench: Benchmark) -> None:
    assert bench.query("skip,skip").nfe_forward == 0
    assert bench.query("mlp.residual,mlp.tied").nfe_forward == 1 + 6
    assert bench.query("mlp.ode,gated.ode").nfe_backward == 12 + 12
    assert bench.query("mlp.deq,skip").nfe_forward > 3
    assert bench.query("mlp.deq,skip").params == bench.query("qp.simplex,skip").params


def test_bad_queries_are_answered_clearly(bench: Benchmark) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gated\\.ode'"):
        bench.query("gated.od,skip")
    with pytest.raises(ArchitectureError, match="has 1 stage"):
        bench.query("skip")
    with pytest.raises(QueryError, match="epoch 7 is not recorded; the nearest is 6"):
        bench.query(0, epoch=7)
    with pytest.raises(QueryError, match="seed 9 is not in"):
        bench.query(0, seed=9)
    with pytest.raises(QueryError, match="Did you mean 'test_score'"):
        bench.query_batch([0], metrics=("test_scor",))
    with pytest.raises(ArchitectureError, match="code 500 is not in"):
        bench.query_batch([0, 500])
    with pytest.raises(QueryError, match="expected integers"):
        bench.query_batch([0.5])
    with pytest.raises(QueryError, match="k=0"):
        bench.best(0)


def test_bad_names_are_answered_clearly() -> None:
    with pytest.raises(ArgumentError, match="not SPACE/TASK"):
        metabench.open("cells2-v1")
    with pytest.raises(ContentError, match="Did you mean 'cells2-v1'"):
        metabench.open("cells2v1/mnist1d-v1")
    with pytest.raises(ContentError, match="unknown task"):
        metabench.open("cells2-v1/mnist-v1")
    with pytest.raises(ArgumentError, match="unknown kind"):
        metabench.open("cells2-v1/mnist1d-v1", kind="tabel")  # type: ignore[arg-type]
    with pytest.raises(TableError, match="no fitted surrogate"):
        metabench.open("cells2-v1/mnist1d-v1", kind="surrogate")
