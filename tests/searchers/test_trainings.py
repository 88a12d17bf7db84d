"""The file of live trainings: whole lines are used, cut ones passed over, strangers' folders left alone."""

from metabench.searchers.trainings import Trainings
from metabench.testing.toy_benchmark import make_toy_benchmark


def test_what_is_kept_is_read_again_and_a_cut_line_is_not(tmp_path):
    benchmark = make_toy_benchmark(diverged=[(0, 2)])
    codes = benchmark.space_definition.canonical_codes.tolist()
    path = tmp_path / "toy-v1" / "toy-v1" / "trainings.jsonl"
    first = Trainings(benchmark, path)
    found = first.find(codes[0], 3, 1)
    assert found == benchmark.query(codes[0], epoch=3, seed=1)
    lines = path.read_text().splitlines()
    assert len(lines) == 9  # three epochs of three replicates
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])

    other = make_toy_benchmark(seed=1)  # would answer otherwise
    again = Trainings(other, path)
    assert again.find(codes[0], 3, 1) == found
    assert repr(again.find(codes[0], 3, 2).train_loss) == "inf"
    assert again.find(codes[0], 9, 2) == other.query(codes[0], epoch=9, seed=2)  # the cut line
    assert again.find(codes[1], 1, 0) == other.query(codes[1], epoch=1, seed=0)


def test_nothing_is_written_where_the_run_folder_is_not(tmp_path):
    benchmark = make_toy_benchmark()
    path = tmp_path / "elsewhere" / "toy-v1" / "toy-v1" / "trainings.jsonl"
    trainings = Trainings(benchmark, path)
    assert trainings.find(7, 9, 0) == benchmark.query(7, epoch=9, seed=0)
    assert list(tmp_path.iterdir()) == []
