"""The joint space: definition <-> code <-> architecture <-> Configuration, conditions, draws and neighbours."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from metabench.blocks import BLOCKS
from metabench.blocks.solving import FIXED_POINT_ADJOINTS, FIXED_POINT_SOLVERS, ODE_ADJOINTS, ODE_SOLVERS
from metabench.content import folder
from metabench.errors import ArchitectureError, ArgumentError, DefinitionError, UnknownNameError
from metabench.spaces import JointArchitecture, JointSpace, load_space, load_tabular_space
from metabench.spaces.joint.definition import CHOICES
from metabench.tables.joint_units import check_conditions

# What the conditions of the shipped space say, written once more as plain code.
EQUILIBRIA = {"mlp.deq", "gated.deq"}
SPLITTINGS = {"mlp.deq-monotone", "qp.box", "qp.simplex"}
FLOWS = {"mlp.ode", "gated.ode", "mlp.ode-antisymmetric"}


def active_by_hand(blocks: tuple[str, ...], ode_solver: str | None) -> set[str]:
    names = {"depth", *(f"stage{i + 1}" for i in range(len(blocks))), "width", "learning_rate", "weight_decay"}
    present = set(blocks)
    if present & (EQUILIBRIA | SPLITTINGS):
        names |= {"fixed_point_solver", "tolerance"}
    if present & EQUILIBRIA:
        names |= {"fixed_point_adjoint"}
    if present & FLOWS:
        names |= {"ode_solver", "ode_adjoint", "tolerance" if ode_solver == "dopri5" else "ode_steps"}
    return names


@pytest.fixture(scope="module")
def space() -> JointSpace:
    found = load_space("joint-v1")
    assert isinstance(found, JointSpace)
    return found


def test_codes_architectures_texts_and_json_are_invertible(space: JointSpace) -> None:
    assert space.size < 2**53  # a double holds every code
    assert space.size == 4 * 12**4 * 57 * 65 * 61 * 4 * 4 * 4 * 8 * 2 * 61
    for code in space.draw(300, np.random.default_rng(0)).tolist():
        architecture = space.architecture(code)
        values = json.loads(json.dumps(architecture.as_dict()))
        assert set(values) == active_by_hand(architecture.blocks, architecture.ode_solver)
        for name in (architecture, str(architecture), values, code):
            assert space.code(name) == code == space.canonical(code)
        assert space.architecture(space.code(values)) == architecture
        assert hash(space.architecture(code)) == hash(architecture)


def test_configurations_are_invertible_and_active_where_they_should_be(space: JointSpace) -> None:
    configurations = space.configuration_space(seed=0)
    for configuration in configurations.sample_configuration(200):
        code = space.code(configuration)
        architecture = space.architecture(code)
        assert set(configuration) == active_by_hand(architecture.blocks, architecture.ode_solver)
        assert space.code(space.configuration(code, configurations)) == code
        # Numbers are taken to the nearest of 32 levels a decade, so by at most 4 percent.
        assert architecture.learning_rate == pytest.approx(configuration["learning_rate"], rel=0.04)
        assert architecture.width == configuration["width"]


def test_codes_that_are_not_canonical_are_those_of_some_architecture(space: JointSpace) -> None:
    generator = np.random.default_rng(1)
    for code in generator.integers(0, space.size, 200).tolist():
        canonical = space.canonical(code)
        assert space.code(code) == canonical == space.canonical(canonical)
        assert space.architecture(code) == space.architecture(canonical)


def tiny(tmp_path: Path, **changes: str) -> str:
    """A space of a few levels, so that it can be listed; ``changes`` replace lines by their key."""
    lines = {
        "id": 'id = "tiny"',
        "kind": 'kind = "joint"',
        "description": 'description = "d"',
        "stages": "stages = 2",
        "blocks": 'blocks = ["mlp.residual", "mlp.deq", "mlp.ode"]',
        "[h]": "[hyperparameters]",
        "width": "width = { range = [8, 9], default = 8 }",
        "learning_rate": "learning_rate = { range = [1e-3, 1e-1], log = true, levels = 3, default = 1e-2 }",
        "weight_decay": "weight_decay = { range = [1e-3, 1.0], log = true, levels = 2, default = 1e-3 }",
        "fixed_point_solver": 'fixed_point_solver = { choices = ["picard", "anderson"], default = "picard", '
        'when = { blocks = ["mlp.deq"] } }',
        "fixed_point_adjoint": 'fixed_point_adjoint = { choices = ["implicit"], default = "implicit", '
        'when = { blocks = ["mlp.deq"] } }',
        "ode_solver": 'ode_solver = { choices = ["euler", "dopri5"], default = "euler", '
        'when = { blocks = ["mlp.ode"] } }',
        "ode_steps": 'ode_steps = { range = [1, 3], log = true, default = 1, when = { ode_solver = ["euler"] } }',
        "ode_adjoint": 'ode_adjoint = { choices = ["backprop"], default = "backprop", '
        'when = { blocks = ["mlp.ode"] } }',
        "tolerance": "tolerance = { range = [1e-3, 1e-1], log = true, levels = 2, default = 1e-3, "
        'when = { blocks = ["mlp.deq"], ode_solver = ["dopri5"] } }',
        "[s]": "[sampling]",
        "seed": "seed = 0",
        "samples": "samples = 4",
        "tasks": 'tasks = ["spirals-v1"]',
        "batch_size": "batch_size = 50",
        "replicated_every": "replicated_every = 2",
        "replicates": "replicates = 2",
    }
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(line for line in {**lines, **changes}.values() if line) + "\n")
    return str(path)


def test_the_count_and_the_conditions_by_brute_force(tmp_path: Path) -> None:
    space = load_space(tiny(tmp_path))
    assert isinstance(space, JointSpace)
    seen = {space.architecture(code) for code in range(space.size)}
    assert space.count == len(seen) == len({space.canonical(code) for code in range(space.size)})
    common = 2 * 3 * 2  # width, learning rate, weight decay
    deq, flow, both = 2 * 2, 3 + 2, 2 * 2 * (3 + 1)  # solver x tolerance; steps or tolerance; they share the tolerance
    pairs = list(product("rdo", repeat=2))
    by_hand = sum(
        {(0, 0): 1, (1, 0): deq, (0, 1): flow, (1, 1): both}["d" in row, "o" in row]
        for row in [*product("rdo", repeat=1), *pairs]
    )
    assert space.count == common * by_hand
    for architecture in seen:
        assert set(architecture.as_dict()) == active_by_hand(architecture.blocks, architecture.ode_solver)


def test_neighbours_are_one_change_away_and_reach_everything(tmp_path: Path) -> None:
    space = load_space(tiny(tmp_path))
    assert isinstance(space, JointSpace)
    reached, waiting = {0}, [space.canonical(0)]
    while waiting:
        code = waiting.pop()
        near = space.neighbours(code)
        assert code not in near
        assert (np.diff(near) > 0).all()
        own = space.architecture(code).as_dict()
        for other in near.tolist():
            assert other == space.canonical(other)
            values = space.architecture(other).as_dict()
            changed = [name for name in own.keys() & values.keys() if own[name] != values[name]]
            assert len(changed) == 1  # what else differs became active or inactive by it
        waiting += [other for other in near.tolist() if other not in reached]
        reached |= set(near.tolist())
    assert len(reached) == space.count


def test_a_sample_depends_on_its_number_alone(space: JointSpace) -> None:
    numbers = [0, 1, 7, 2999]
    assert [space.sample(i) for i in numbers] == [space.sample(i) for i in reversed(numbers)][::-1]
    assert len({space.sample(i) for i in range(500)}) == 500
    assert str(space.architecture(space.sample(0))) == (
        "qp.box,mlp.deq-monotone width=12 learning_rate=0.0154 weight_decay=0.01778 fixed_point_solver=anderson "
        "tolerance=0.0001212"
    )  # frozen: the trained configurations must never change


def test_draws_are_uniform_on_each_range(space: JointSpace) -> None:
    drawn = [space.architecture(code) for code in space.draw(4000, np.random.default_rng(2)).tolist()]
    depths = np.bincount([a.depth for a in drawn], minlength=5)[1:]
    assert (np.abs(depths - 1000) < 5 * np.sqrt(1000 * 0.75)).all()  # five standard deviations
    for name, low, high in (("learning_rate", 1e-3, 1e-1), ("weight_decay", 1e-5, 1.0), ("width", 8, 64)):
        numbers = np.log([getattr(a, name) for a in drawn])
        shares = np.histogram((numbers - np.log(low)) / np.log(high / low), bins=4, range=(0, 1))[0] / 4000
        assert np.abs(shares - 0.25).max() < 0.05


def test_a_looser_tolerance_of_the_same_architecture(space: JointSpace) -> None:
    text = (
        "mlp.deq width=32 learning_rate=0.01 weight_decay=0.001 fixed_point_solver=anderson "
        "fixed_point_adjoint=implicit tolerance=0.001"
    )
    code = space.code(text)
    loose = space.architecture(space.vary(code, tolerance=0.1))
    assert str(loose) == text.replace("tolerance=0.001", "tolerance=0.1")
    flow = space.architecture(space.vary(code, stage1="mlp.ode"))  # what becomes active takes its default
    assert (flow.ode_solver, flow.ode_steps, flow.tolerance, flow.fixed_point_solver) == ("rk4", 3, None, None)
    plain = space.vary(code, stage1="mlp.tied")
    assert space.vary(plain, tolerance=0.1) == plain
    with pytest.raises(ArchitectureError, match=r"unknown hyperparameter 'tolerence'\. Did you mean 'tolerance'"):
        space.vary(code, tolerence=0.1)


GOOD = {"depth": 1, "stage1": "mlp.tied", "width": 16, "learning_rate": 0.01, "weight_decay": 0.001}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"stage1": "mlp.tide"}, UnknownNameError, r"unknown block 'mlp.tide'.*Did you mean 'mlp.tied'"),
        ({"width": None}, ArchitectureError, r"missing hyperparameter 'width': it is active in depth=1, stage1="),
        ({"tolerance": 0.1}, ArchitectureError, r"hyperparameter 'tolerance' is inactive in .*leave it out"),
        ({"width": 65}, ArchitectureError, r"width is 65; .* a whole number from 8 to 64"),
        ({"width": 16.5}, ArchitectureError, r"width is 16.5; .* a whole number"),
        ({"learning_rate": "fast"}, ArchitectureError, r"learning_rate is 'fast'; .* a number from 0.001 to 0.1"),
        ({"learning_rate": float("nan")}, ArchitectureError, r"learning_rate is nan"),
        ({"depth": 5}, ArchitectureError, r"depth is 5; space 'joint-v1' has 1 to 4 blocks"),
        ({"colour": 1}, ArchitectureError, r"unknown hyperparameter 'colour'; space 'joint-v1' has depth"),
    ],
)
def test_bad_configurations_are_answered_clearly(
    space: JointSpace, change: dict, error: type[Exception], message: str
) -> None:
    values = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(error, match=message):
        space.code(values)


def test_bad_codes_and_texts_are_answered_clearly(space: JointSpace) -> None:
    with pytest.raises(ArchitectureError, match=f"expected 0 to {space.size - 1}"):
        space.code(space.size)
    with pytest.raises(ArchitectureError, match="cannot read 'width' in"):
        space.code("mlp.tied width")
    with pytest.raises(ArchitectureError, match="depth is 0"):
        space.code("")
    with pytest.raises(ArchitectureError, match="names no architecture"):
        space.code(3.5)
    with pytest.raises(ArgumentError, match="'joint-v1' has no table, only a surrogate"):
        load_tabular_space("joint-v1")


def test_the_definition_and_the_engine_agree(space: JointSpace) -> None:
    made = {
        "fixed_point_solver": FIXED_POINT_SOLVERS,
        "fixed_point_adjoint": FIXED_POINT_ADJOINTS,
        "ode_solver": ODE_SOLVERS,
        "ode_adjoint": ODE_ADJOINTS,
    }
    assert {name: set(known) for name, known in CHOICES.items()} == {name: set(found) for name, found in made.items()}
    check_conditions(space)  # every block's own list of what it heeds
    assert set(space.blocks) == set(BLOCKS.names()) - {"skip", "gru"}


def test_a_space_is_read_without_torch() -> None:
    code = (
        "import sys; from metabench.spaces import load_space; load_space('joint-v1').sample(0); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_condition_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    line = 'ode_adjoint = { choices = ["backprop"], default = "backprop", when = { blocks = ["mlp.deq"] } }'
    space = load_space(tiny(tmp_path, ode_adjoint=line))
    assert isinstance(space, JointSpace)
    with pytest.raises(DefinitionError, match=r"ode_adjoint is active with block 'mlp.deq', which does not heed it"):
        check_conditions(space)


@pytest.mark.parametrize(
    ("key", "line", "message"),
    [
        ("stages", "stages = 9", r"mine\.toml:4: key 'stages' is 9; expected 1 to 6"),
        ("blocks", 'blocks = ["mlp.deqq"]', r"mine\.toml:5: .*unknown block 'mlp.deqq'. Did you mean 'mlp.deq'"),
        ("blocks", 'blocks = ["skip", "mlp.deq"]', r"mine\.toml:5: .*'skip'; expected distinct blocks"),
        ("width", "widht = { range = [8, 9], default = 8 }", r"mine\.toml:7: key 'widht' is no .*Did you mean 'width'"),
        ("width", "", r"lacks 'width'"),
        ("width", "width = 8", r"mine\.toml:7: key 'width' is 8; expected a table"),
        ("width", "width = { range = [9, 8], default = 8 }", r"mine\.toml:7: .*range \[9, 8\]; .*ascending"),
        ("width", "width = { range = [8, 9], default = 12 }", r"mine\.toml:7: .*default 12; expected a level"),
        ("width", "width = { range = [8, 9], levels = 2, default = 8 }", r"has no 'levels'"),
        (
            "learning_rate",
            "learning_rate = { range = [1e-3, 1e-1], log = true, levels = 3, default = 2e-2 }",
            r"mine\.toml:8: .*the nearest level is 0.01",
        ),
        ("learning_rate", "learning_rate = { range = [0.0, 1.0], levels = 3, default = 0.5 }", r"within 1e-08 to 10"),
        ("tolerance", "tolerance = { range = [1e-3, 1e-1], default = 1e-3 }", r"levels None; expected a whole number"),
        (
            "ode_solver",
            'ode_solver = { choices = ["rk5"], default = "rk5" }',
            r"mine\.toml:12: .*unknown choice 'rk5'. Did you mean 'rk4'",
        ),
        (
            "ode_steps",
            'ode_steps = { range = [1, 3], default = 1, when = { solver = ["euler"] } }',
            r"mine\.toml:13: .*depends on 'solver'; expected one of blocks, fixed_point_solver",
        ),
        (
            "ode_steps",
            'ode_steps = { range = [1, 3], default = 1, when = { ode_solver = ["rk4"] } }',
            r"mine\.toml:13: .*ode_solver = \['rk4'\]; expected a list out of euler, dopri5",
        ),
        ("samples", "samples = 0", r"key 'samples' is 0"),
        ("tasks", 'tasks = ["spiral-v1"]', r"unknown task 'spiral-v1'. Did you mean 'spirals-v1'"),
        ("replicates", "", r"key 'replicates' is missing"),
    ],
)
def test_mistakes_name_file_line_and_key(tmp_path: Path, key: str, line: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        load_space(tiny(tmp_path, **{key: line}))


def test_the_shipped_file_has_a_citation(space: JointSpace) -> None:
    assert (folder("search_spaces") / "joint-v1.toml").is_file()
    assert "joint-v1" in space.citation
    assert isinstance(space.architecture(0), JointArchitecture)
