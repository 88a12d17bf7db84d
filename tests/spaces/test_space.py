"""Definition <-> code <-> architecture <-> Configuration over the whole of both spaces."""

from pathlib import Path

import numpy as np
import pytest

from metabench.errors import ArchitectureError, DefinitionError, UnknownNameError
from metabench.spaces import Architecture, Space, load_space

BOTH = [("cells2-v1", 169, 157), ("cells-v1", 2197, 1885)]


@pytest.mark.parametrize(("name", "size", "architectures"), BOTH)
def test_codes_architectures_and_rows_are_invertible(name: str, size: int, architectures: int) -> None:
    space = load_space(name)
    assert space.size == size
    assert len(space.canonical_codes) == architectures
    seen = set()
    for code in range(size):
        canonical = space.canonical(code)
        architecture = space.architecture(code)
        assert space.code(architecture) == canonical == space.canonical(canonical)
        assert space.canonical_codes[space.row_of[code]] == canonical
        assert len(architecture.blocks) <= space.stages
        seen.add(architecture)
    assert len(seen) == architectures


@pytest.mark.parametrize(("name", "size", "architectures"), BOTH)
def test_configurations_are_invertible(name: str, size: int, architectures: int) -> None:
    space = load_space(name)
    configurations = space.configuration_space(seed=0)
    assert configurations.estimate_size() == size
    for code in space.canonical_codes:
        assert space.code(space.configuration(int(code), configurations)) == code
    for configuration in configurations.sample_configuration(50):
        assert space.code(configuration) == space.code(dict(configuration))


@pytest.mark.parametrize(("name", "size", "architectures"), BOTH)
def test_neighbours_are_symmetric_and_differ_by_one_block(name: str, size: int, architectures: int) -> None:
    space = load_space(name)
    near = {int(code): set(space.neighbours(int(code)).tolist()) for code in space.canonical_codes}
    for code, others in near.items():
        assert code not in others
        assert all(code in near[other] for other in others)
    # Brute force: every sequence that differs in one stage from some spelling of the architecture.
    spellings: dict[int, set[int]] = {}
    for code in range(size):
        spellings.setdefault(space.canonical(code), set()).add(code)
    base = len(space.blocks)
    for code in list(near)[:: max(1, len(near) // 40)]:
        expected = {
            space.canonical(spelling + (digit - spelling // w % base) * w)
            for spelling in spellings[code]
            for w in base ** np.arange(space.stages)
            for digit in range(base)
        }
        assert near[code] == expected - {code}


def test_an_architecture_is_named_in_many_ways() -> None:
    space = load_space("cells2-v1")
    wanted = space.code("mlp.deq,skip")
    for name in (["skip", "mlp.deq"], Architecture(("mlp.deq",)), {"stage1": "mlp.deq", "stage2": "skip"}, wanted):
        assert space.code(name) == wanted
    assert str(space.architecture(wanted)) == "mlp.deq"
    assert str(space.architecture(0)) == "skip"


def test_bad_architectures_are_answered_clearly() -> None:
    space = load_space("cells2-v1")
    with pytest.raises(UnknownNameError, match=r"unknown block 'mlp.dq'.*Did you mean 'mlp.deq'"):
        space.code("mlp.dq,skip")
    with pytest.raises(ArchitectureError, match="has 3 stages; space 'cells2-v1' has 2"):
        space.code("skip,skip,skip")
    with pytest.raises(ArchitectureError, match="missing hyperparameter 'stage2'"):
        space.code({"stage1": "skip"})
    with pytest.raises(ArchitectureError, match="unknown hyperparameter 'stage9'"):
        space.code({"stage1": "skip", "stage2": "skip", "stage9": "skip"})
    with pytest.raises(ArchitectureError, match="expected 0 to 168"):
        space.code(169)
    with pytest.raises(ArchitectureError, match="names no architecture"):
        space.code(3.5)


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


GOOD = 'id = "mine"\ndescription = "d"\nstages = 1\nwidth = 8\nblocks = ["mlp.deq", "skip"]\n'


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, GOOD))
    assert isinstance(space, Space)
    assert space.blocks == ("skip", "mlp.deq")
    assert space.canonical_codes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("stages = 1", "stages = 0"), r"mine\.toml:3: key 'stages' is 0"),
        (("stages = 1", 'stages = "two"'), r"mine\.toml:3: key 'stages' is 'two'; expected a whole number"),
        (("width = 8", "widht = 8"), r"mine\.toml:4: key 'widht' is unknown. Did you mean 'width'"),
        (("width = 8\n", ""), r"key 'width' is missing"),
        (("mlp.deq", "mlp.dqe"), r"mine\.toml:5: key 'blocks' names an unknown block 'mlp.dqe'. Did you mean"),
        (('"mlp.deq", ', ""), r"fewer than two"),
    ],
)
def test_mistakes_name_file_line_and_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        load_space(write(tmp_path, GOOD.replace(*change)))
