"""The groups that a build trains together."""

import pytest

from metabench.spaces import load_space
from metabench.tables.groups import training_groups


@pytest.mark.parametrize("name", ["cells-v1", "cells2-v1"])
def test_every_architecture_is_in_exactly_one_group(name: str) -> None:
    space = load_space(name)
    found = [space.code(architecture) for group in training_groups(space) for architecture in group]
    assert sorted(found) == space.canonical_codes.tolist()


def test_groups_are_products_of_about_27() -> None:
    groups = training_groups(load_space("cells-v1"))
    deep = [group for group in groups if len(group[0].blocks) == 3]
    assert len(deep) == 4**3  # 12 blocks in 4 parts of 3, at 3 stages
    assert {len(group) for group in deep} == {27}
    for group in deep:
        assert all(len({architecture.blocks[stage] for architecture in group}) == 3 for stage in range(3))


def test_a_smaller_space_has_the_groups_of_a_larger_one() -> None:
    assert training_groups(load_space("cells2-v1")) == [
        group for group in training_groups(load_space("cells-v1")) if len(group[0].blocks) < 3
    ]
