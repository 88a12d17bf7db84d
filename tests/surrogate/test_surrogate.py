"""Surrogates on tables whose truth is known."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metabench.errors import ArgumentError, TableError
from metabench.surrogate import Settings, Surrogate, fit_surrogate, load_surrogate, surrogate_files
from metabench.surrogate.additive import additive_predict, fit_additive
from metabench.surrogate.calibration import fit_calibration
from metabench.surrogate.noise import draw
from metabench.surrogate.settings import left_out
from metabench.surrogate.targets import from_fitted, to_fitted
from metabench.testing.synthetic import SyntheticTable

FAST = Settings(model="lightgbm", trees=40, leaves=8)
FAST_NEURAL = Settings(model="neural", steps=150, hidden=32)
TEST = 2  # the place of test_score among the metrics


def save(surrogate: Surrogate, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in surrogate_files(surrogate).items():
        (folder / name).write_bytes(data)
    return folder


def unseen(table: SyntheticTable) -> np.ndarray:
    return np.arange(len(table.truth)) % 5 == 0


@pytest.fixture(scope="module")
def noisy_fit(noisy_table: SyntheticTable) -> Surrogate:
    return fit_surrogate(noisy_table.measured.take(~unseen(noisy_table)), FAST, name="made-up/noisy")


@pytest.fixture(scope="module")
def stored(noisy_fit: Surrogate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(noisy_fit, tmp_path_factory.mktemp("stored"))


@pytest.mark.parametrize("settings", [FAST, FAST_NEURAL], ids=lambda s: s.model)
def test_an_additive_table_is_recovered_on_unseen_architectures(
    additive_table: SyntheticTable, settings: Settings
) -> None:
    test = unseen(additive_table)
    surrogate = fit_surrogate(additive_table.measured.take(~test), settings)
    found = surrogate.predict(additive_table.measured.digits[test]).mean()[:, -1, TEST]
    truth = additive_table.truth[test]
    assert 1 - ((found - truth) ** 2).mean() / truth.var() > 0.98
    # Better than the measured means themselves, whose error is noise / sqrt(3).
    assert np.sqrt(((found - truth) ** 2).mean()) < 2 * additive_table.noise_sd / np.sqrt(3)


def test_metrics_without_noise_are_predicted_closely(additive_table: SyntheticTable) -> None:
    data, test = additive_table.measured, unseen(additive_table)
    test &= (data.digits > 0).sum(axis=1) >= 2  # of fewer blocks there are eight in all: each is unlike the others
    surrogate = fit_surrogate(data.take(~test), FAST)
    found = surrogate.predict(data.digits[test]).mean()
    wanted = data.means()[test]
    np.testing.assert_allclose(found[:, -1, 3], wanted[:, -1, 3], atol=0.5)  # NFE of 0 to 18
    np.testing.assert_allclose(found[..., 6], 1e-4, rtol=1e-3)  # a constant residual
    np.testing.assert_allclose(
        surrogate.predict_costs(data.digits[test])[:, :3], data.costs[test][:, :3], rtol=1e-4, atol=1e-3
    )
    assert np.isnan(surrogate.predict_costs(data.digits[test])[:, 3]).all()  # latency was not measured


def test_intervals_hold_what_they_say_on_unseen_architectures(
    noisy_table: SyntheticTable, noisy_fit: Surrogate
) -> None:
    test = unseen(noisy_table)
    prediction = noisy_fit.predict(noisy_table.measured.digits[test])
    truth, one = noisy_table.truth[test], noisy_table.measured.values[test][:, :, -1, TEST]
    for level in (0.5, 0.8, 0.95):
        low, high = (bound[:, -1, TEST] for bound in prediction.interval(level))
        mean = ((low <= truth) & (truth <= high)).mean()
        low, high = (bound[:, -1, TEST, None] for bound in prediction.interval(level, replicates=1))
        single = ((low <= one) & (one <= high)).mean()
        # 80 architectures and 320 replicates: three binomial standard errors.
        assert abs(mean - level) < 3 * np.sqrt(level * (1 - level) / len(truth)) + 0.02
        assert abs(single - level) < 3 * np.sqrt(level * (1 - level) / len(truth))
    assert prediction.noise_sd[:, -1, TEST].mean() == pytest.approx(noisy_table.noise_sd, rel=0.1)


def test_noise_that_depends_on_a_block_is_found(noisy_table: SyntheticTable) -> None:
    data = noisy_table.measured.of_metrics(("train_loss", "val_score", "test_score"))
    loud = (data.digits == 3).any(axis=1)
    strays = (data.values - data.means()[:, None]) / noisy_table.noise_sd
    size = np.where(loud, 0.04, 0.01)[:, None, None, None]
    data = replace(data, values=data.means()[:, None] + size * strays)
    sd = fit_surrogate(data, FAST).predict(data.digits).noise_sd[:, -1, TEST]
    assert sd[loud].mean() == pytest.approx(0.04, rel=0.15)
    assert sd[~loud].mean() == pytest.approx(0.01, rel=0.3)


def test_replicates_are_keyed_on_configuration_and_seed(noisy_table: SyntheticTable, noisy_fit: Surrogate) -> None:
    digits, codes = noisy_table.measured.digits, np.arange(len(noisy_table.truth))
    prediction = noisy_fit.predict(digits)
    draws = np.stack([noisy_fit.replicate(prediction, codes, seed) for seed in range(6)])
    few = noisy_fit.replicate(noisy_fit.predict(digits[[7, 3]]), codes[[7, 3]], 4)
    np.testing.assert_allclose(few, draws[4][[7, 3]], rtol=1e-12)
    strays = (draws - prediction.mean())[:, :, :, TEST]
    assert strays[:, :, -1].std() == pytest.approx(prediction.noise_sd[:, -1, TEST].mean(), rel=0.05)
    # A replicate's noise was made equal at every epoch, so the draws' are as good as equal too.
    assert np.corrcoef(strays[:, :, 0].ravel(), strays[:, :, -1].ravel())[0, 1] > 0.95
    luck = draw(noisy_fit.noise, "another", codes[:50], 0, 3)
    assert not np.allclose(luck, draw(noisy_fit.noise, "made-up/noisy", codes[:50], 0, 3))


def test_the_same_fit_gives_the_same_bytes(additive_table: SyntheticTable) -> None:
    for settings in (FAST, FAST_NEURAL):
        data = additive_table.measured.of_metrics(("test_score", "train_loss"))
        first, second = (surrogate_files(fit_surrogate(data, settings)) for _ in range(2))
        assert first == second
    other = surrogate_files(fit_surrogate(data, Settings(model="neural", steps=150, hidden=32, seed=1)))
    assert other["member0.layer0.npy"] != first["member0.layer0.npy"]


@pytest.mark.parametrize("settings", [FAST, FAST_NEURAL], ids=lambda s: s.model)
def test_a_stored_surrogate_answers_the_same(
    additive_table: SyntheticTable, settings: Settings, tmp_path: Path
) -> None:
    data = additive_table.measured.of_metrics(("test_score", "nfe_forward"))
    surrogate = fit_surrogate(data, settings, name="made-up/additive")
    again = load_surrogate(save(surrogate, tmp_path))
    before, after = surrogate.predict(data.digits), again.predict(data.digits)
    for name in ("centre", "model_sd", "noise_sd"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    codes = np.arange(len(data.digits))
    np.testing.assert_array_equal(surrogate.replicate(before, codes, 3), again.replicate(after, codes, 3))
    assert surrogate_files(again) == surrogate_files(surrogate)
    assert not any(b"pickle" in content for content in surrogate_files(surrogate).values())


def test_damage_is_named(stored: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(stored, tmp_path / name))

    place = copy("altered")
    data = bytearray((place / "member1.txt.gz").read_bytes())
    data[len(data) // 2] ^= 1
    (place / "member1.txt.gz").write_bytes(bytes(data))
    with pytest.raises(TableError, match=r"member1\.txt\.gz: checksum .* not the manifest's"):
        load_surrogate(place)
    place = copy("missing")
    (place / "noise_factor.npy").unlink()
    with pytest.raises(TableError, match=r"noise_factor\.npy: cannot be read"):
        load_surrogate(place)
    place = copy("newer")
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(TableError, match="newer than this metabench"):
        load_surrogate(place)
    (place / "manifest.json").write_text("{")
    with pytest.raises(TableError, match="not a readable manifest"):
        load_surrogate(place)
    (place / "manifest.json").write_text(json.dumps({**manifest, "settings": {"modle": "lightgbm"}}))
    with pytest.raises(TableError, match="not a readable surrogate"):
        load_surrogate(place)


def test_a_partial_table_with_a_diverged_training_is_fitted(additive_table: SyntheticTable) -> None:
    data = additive_table.measured
    values = data.values.copy()
    values[100:] = np.nan  # not trained yet
    values[:50, 2] = np.nan  # a replicate less
    values[3, 0, :, 0] = np.inf  # a diverged loss
    surrogate = fit_surrogate(replace(data, values=values), FAST)
    assert surrogate.architectures == 100
    assert np.isfinite(surrogate.predict(data.digits).mean()).all()
    seen = np.stack([np.isin(data.digits[:, stage], data.digits[:100, stage]) for stage in range(3)]).all(axis=0)
    assert 0 < seen.sum() < len(seen)
    costs = surrogate.predict_costs(data.digits)[:, 0]  # never a guess about a block that was not seen at a stage
    np.testing.assert_array_equal(np.isnan(costs), ~seen)
    np.testing.assert_allclose(costs[seen], data.costs[seen, 0], rtol=1e-4)


def test_too_little_is_refused(additive_table: SyntheticTable) -> None:
    with pytest.raises(ArgumentError, match="19 architectures are measured; a surrogate needs at least 20"):
        fit_surrogate(additive_table.measured.take(np.arange(19)), FAST)
    with pytest.raises(ArgumentError, match=r"unknown model 'lightgmb'\. Did you mean 'lightgbm'"):
        Settings(model="lightgmb")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="members=2"):
        Settings(members=2)


def test_without_replicates_there_is_no_noise(additive_table: SyntheticTable) -> None:
    data = additive_table.measured.of_seeds([0]).of_metrics(("test_score",))
    surrogate = fit_surrogate(data, FAST)
    prediction = surrogate.predict(data.digits)
    assert (prediction.noise_sd == 0).all()
    codes = np.arange(len(data.digits))
    np.testing.assert_array_equal(surrogate.replicate(prediction, codes, 1), prediction.mean())


def test_each_architecture_is_kept_from_two_members_in_balance() -> None:
    mask = left_out(Settings(members=6), 150)
    assert (mask.sum(axis=1) == 2).all()
    assert (mask.sum(axis=0) == 50).all()  # 150 * 2 / 6


def test_ridge_by_hand() -> None:
    # One stage, two blocks, four rows; without penalty the cell means: intercept + amount = 1 and 3.
    digits, y = np.array([[0], [0], [1], [1]]), np.array([[0.0], [2.0], [3.0], [np.nan]])
    weights = fit_additive(digits, 2, y, penalty=1e-9)
    np.testing.assert_allclose(additive_predict(digits, 2, weights)[:, 0], [1, 1, 3, 3], atol=1e-6)
    # Penalty 1 on amounts a, b: minimise 2(c+a-1)^2 + (c+b-3)^2 + a^2 + b^2 (+2 from the spread): 2(c+a-1)+a=0,
    # (c+b-3)+b=0, 2(c+a-1)+(c+b-3)=0 give a = -b, b = (3-c)/2, a = 2(1-c)/3: 4-4c = 3c-9, c = 13/7.
    weights = fit_additive(digits, 2, y, penalty=1.0)
    np.testing.assert_allclose(weights[:, 0], [13 / 7, -4 / 7, 4 / 7], atol=1e-6)


def test_calibration_finds_the_variance_that_was_put_in() -> None:
    generator = np.random.default_rng(0)
    spread, noise = generator.uniform(0.2, 2.0, 20_000), np.full(20_000, 0.3)
    sd = np.sqrt(0.5 * spread**2 + 0.2 + noise**2)
    slope, offset = fit_calibration(sd * generator.normal(size=20_000), spread, noise)
    assert slope == pytest.approx(0.5, rel=0.1)
    assert offset == pytest.approx(0.2, rel=0.15)


def test_transforms_are_undone() -> None:
    metrics = ("train_loss", "test_score", "nfe_forward", "residual")
    values = np.array([[0.3, 0.7, 12.0, 1e-5], [2.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(from_fitted(to_fitted(values, metrics), metrics), values, rtol=1e-12)
    assert from_fitted(np.array([[0.0, 1.2, -3.0, 0.0]]), metrics)[0, 1:3].tolist() == [1.0, 0.0]  # within limits


def test_log_odds_stay_within_0_and_1_and_leave_other_metrics_alone() -> None:
    metrics = ("test_score", "train_loss", "unconverged")
    values = np.array([[0.25, 0.3, 0.5], [1.0, 2.0, 1.0], [0.0, 1.0, 0.0]])
    fitted = to_fitted(values, metrics, logit=True)
    assert fitted[0, 0] == pytest.approx(np.log(1 / 3))
    assert np.isfinite(fitted).all()
    np.testing.assert_array_equal(fitted[:, 1:], to_fitted(values, metrics)[:, 1:])
    back = from_fitted(fitted, metrics, logit=True)
    np.testing.assert_allclose(back[:, 0], [0.25, 0.999, 0.001])
    assert from_fitted(np.array([[1e6, 0.0, 0.0], [-1e6, 0.0, 0.0]]), metrics, logit=True)[:, 0] == pytest.approx(
        [1, 0]
    )
