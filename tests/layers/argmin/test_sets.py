"""Convex sets: projections against the inequality that defines them, gradients against finite differences."""

from collections.abc import Callable
from itertools import combinations, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError
from metabench.layers.argmin import (
    AffineSet,
    Box,
    CappedSimplex,
    ConvexSet,
    Halfspace,
    L1Ball,
    L2Ball,
    Orthant,
    Polyhedron,
    Simplex,
    all_sets,
    project,
    project_simplex,
    sparsemax,
)
from metabench.layers.argmin.convex_set import refuse_parameter_gradient


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(kind: type[ConvexSet], dim: int, dtype: torch.dtype = torch.float64) -> ConvexSet:
    """One set of each kind, for vectors of any dimension."""
    direction = torch.linspace(1.0, -2.0, dim, dtype=dtype)
    sets = {
        Box: lambda: Box(-0.5, 2.0),
        Orthant: Orthant,
        Simplex: lambda: Simplex(1.5),
        CappedSimplex: lambda: CappedSimplex(0.6 * dim),
        L1Ball: lambda: L1Ball(1.5),
        L2Ball: lambda: L2Ball(1.5),
        Halfspace: lambda: Halfspace(direction, -0.5),
        AffineSet: lambda: AffineSet(direction[None], torch.tensor([0.7], dtype=dtype)),
    }
    return sets[kind]()


def violation(onto: ConvexSet, z: Tensor) -> Tensor:
    """By how much z is outside the set, written from the set's definition."""
    if isinstance(onto, Box):
        return torch.maximum(onto.lower - z, z - onto.upper).amax(-1)
    if isinstance(onto, Orthant):
        return -z.amin(-1)
    if isinstance(onto, Simplex):
        return torch.maximum((z.sum(-1) - onto.radius).abs(), -z.amin(-1))
    if isinstance(onto, CappedSimplex):
        return torch.maximum((z.sum(-1) - onto.total).abs(), torch.maximum(-z, z - 1).amax(-1))
    if isinstance(onto, L1Ball):
        return z.abs().sum(-1) - onto.radius
    if isinstance(onto, L2Ball):
        return z.square().sum(-1).sqrt() - onto.radius
    if isinstance(onto, Halfspace):
        return (z * onto.normal).sum(-1) - onto.offset
    assert isinstance(onto, AffineSet)
    return (z @ onto.A.mT - onto.b).abs().amax(-1)


# Whole numbers among the entries make ties, and points on the boundary.
ENTRY = st.one_of(st.floats(-10, 10, allow_subnormal=False), st.integers(-3, 3).map(float))
PAIR = st.integers(1, 12).flatmap(lambda n: st.lists(ENTRY, min_size=2 * n, max_size=2 * n))


@pytest.mark.parametrize("kind", all_sets)
@given(entries=PAIR)
def test_projection_is_what_defines_it(kind: type[ConvexSet], entries: list[float]) -> None:
    v, other = torch.tensor(entries, dtype=torch.float64).reshape(2, 1, -1)
    onto = make(kind, v.shape[-1])
    z, y = onto.project(v), onto.project(other)
    assert float(violation(onto, z).max()) <= 1e-12
    torch.testing.assert_close(onto.project(z), z, rtol=0, atol=1e-12)
    # z is the projection of v if and only if v - z makes no acute angle with any feasible direction.
    assert float(((v - z) * (y - z)).sum()) <= 1e-10
    assert float(torch.linalg.norm(z - y)) <= float(torch.linalg.norm(v - other)) + 1e-12


@pytest.mark.parametrize("kind", all_sets)
def test_one_set_of_each_kind_is_tested(kind: type[ConvexSet]) -> None:
    assert type(make(kind, 4)) is kind


def corners(onto: ConvexSet, dim: int) -> Tensor:
    eye = torch.eye(dim, dtype=torch.float64)
    if isinstance(onto, Simplex):
        return onto.radius * eye
    if isinstance(onto, L1Ball):
        return torch.cat([onto.radius * eye, -onto.radius * eye])
    if isinstance(onto, CappedSimplex):
        return torch.stack([eye[list(chosen)].sum(0) for chosen in combinations(range(dim), int(onto.total))])
    assert isinstance(onto, Box)
    return torch.tensor(list(product([onto.lower, onto.upper], repeat=dim)), dtype=torch.float64)


@pytest.mark.parametrize("onto", [Simplex(2.0), L1Ball(2.0), CappedSimplex(3), Box(-1.0, 0.5)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_no_corner_is_nearer(onto: ConvexSet, scale: float) -> None:
    # The variational inequality is linear in y: if it holds at all corners of a polytope, it holds.
    v = scale * normal(50, 7)
    z = onto.project(v)
    assert float(violation(onto, z).max()) <= 1e-13
    gaps = corners(onto, 7)[:, None] - z
    assert float(((v - z) * gaps).sum(-1).max()) <= 1e-11 * scale


@pytest.mark.parametrize("kind", all_sets)
def test_gradcheck(kind: type[ConvexSet]) -> None:
    v = 1.5 * normal(6, 7, seed=3)
    onto = make(kind, 7)
    assert torch.autograd.gradcheck(lambda v: project(v, onto), (v.requires_grad_(),))
    with torch.no_grad():
        inside = project(0.01 * v + onto.project(torch.zeros_like(v)), onto)
    assert torch.autograd.gradcheck(lambda v: project(v, onto), ((v.detach() + 3 * inside).requires_grad_(),))


PARAMETERS: dict[str, tuple[Callable[..., ConvexSet], list[tuple[int, ...]]]] = {
    "box": (lambda a, b: Box(-0.2 - a.abs(), 0.3 + b.abs()), [(7,), (7,)]),
    "box with one bound": (lambda a, b: Box(-0.2 - a.abs(), 0.3 + b.abs()), [(1,), (1,)]),
    "simplex": (lambda r: Simplex(1 + r.abs()), [()]),
    "capped simplex": (lambda k: CappedSimplex(1.3 + k.abs()), [()]),
    "l1": (lambda r: L1Ball(1 + r.abs()), [()]),
    "l2": (lambda r: L2Ball(1 + r.abs()), [()]),
    "halfspace": (lambda a, b: Halfspace(a, b), [(7,), ()]),
    "affine": (lambda A, b: AffineSet(A, b), [(2, 7), (2,)]),
}


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("shared", [True, False])
def test_gradcheck_to_the_set(name: str, shared: bool) -> None:
    build, shapes = PARAMETERS[name]
    values = [normal(*(() if shared else (5,)), *shape, seed=10 + i) for i, shape in enumerate(shapes)]
    v = 1.5 * normal(5, 7, seed=4)
    leaves = [t.requires_grad_() for t in (v, *values)]
    assert torch.autograd.gradcheck(lambda v, *values: project(v, build(*values)), leaves)


def test_one_point_on_many_sets() -> None:
    v, radius = normal(4).requires_grad_(), torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert project(v, Simplex(radius)).shape == (3, 4)
    assert torch.autograd.gradcheck(lambda v, r: project(v, Simplex(r)), (v, radius))


def test_by_hand() -> None:
    t = torch.tensor
    # Simplex (1, .5, -1): a threshold of .25 leaves (.75, .25, 0).
    torch.testing.assert_close(sparsemax(t([1.0, 0.5, -1.0])), t([0.75, 0.25, 0.0]))
    torch.testing.assert_close(project_simplex(t([[1.0, 0.5]]), t([3.0])), t([[1.75, 1.25]]))
    # l1 ball of radius 1 and (2, -1.5): a threshold of 1.25 leaves (.75, -.25).
    torch.testing.assert_close(L1Ball().project(t([2.0, -1.5])), t([0.75, -0.25]))
    torch.testing.assert_close(L1Ball().project(t([0.5, -0.25])), t([0.5, -0.25]))
    torch.testing.assert_close(L2Ball(5.0).project(t([6.0, 8.0])), t([3.0, 4.0]))
    # Two of (3, 1, .8, -2): a threshold of .4 leaves (1, .6, .4, 0).
    torch.testing.assert_close(CappedSimplex(2).project(t([3.0, 1.0, 0.8, -2.0])), t([1.0, 0.6, 0.4, 0.0]))
    # The hard top two where the gap is at least 1.
    torch.testing.assert_close(CappedSimplex(2).project(t([5.0, -2.0, 4.0, 3.0])), t([1.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(CappedSimplex(3).project(t([5.0, -2.0, 4.0])), t([1.0, 1.0, 1.0]))
    # (2, 2) beyond x + y <= 2: one back in each.
    torch.testing.assert_close(Halfspace(t([1.0, 1.0]), 2.0).project(t([2.0, 2.0])), t([1.0, 1.0]))
    torch.testing.assert_close(AffineSet(t([[1.0, 1.0]]), t([2.0])).project(t([0.0, 0.0])), t([1.0, 1.0]))
    torch.testing.assert_close(Box(0.0, float("inf")).project(t([-1.0, 9.0])), t([0.0, 9.0]))
    bounds = Box(t([[0.0], [1.0]]), t([[1.0], [2.0]]))
    torch.testing.assert_close(bounds.project(t([[5.0, -5.0], [5.0, -5.0]])), t([[1.0, 0.0], [2.0, 1.0]]))


@pytest.mark.parametrize("kind", all_sets)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_float32(kind: type[ConvexSet], size: float) -> None:
    v = (size * normal(64, 50)).float()
    onto = make(kind, 50, torch.float32)
    z = onto.project(v)
    assert z.dtype == torch.float32
    exact = make(kind, 50).project(v.double())
    resolution = 1.2e-7  # of float32
    # A sum over 50 numbers of the size of v may lose a few units of the last place of v.
    assert float((z - exact).abs().max()) <= 10 * resolution * max(float(v.abs().max()), 2.0)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_simplex_keeps_its_sum_in_float32(offset: float) -> None:
    v = offset + normal(64, 100).float()
    for onto in (Simplex(), CappedSimplex(4)):
        z = onto.project(v)
        assert float(violation(onto, z).max()) <= 2e-6


def test_zeros_and_bounds_are_exact() -> None:
    v = 3 * normal(20, 30)
    assert set(Box().project(v)[v.abs() > 1].tolist()) == {-1.0, 1.0}
    for onto in (Simplex(), L1Ball(), CappedSimplex(4)):
        z = onto.project(v)
        assert (z == 0).any(-1).all()
        assert float(z[z != 0].abs().min()) > 1e-9
    z = CappedSimplex(4).project(v)
    assert (z == 1).any()
    # What is zero stays zero, along the face as well.
    for onto in (Simplex(), L1Ball(), CappedSimplex(4)):
        z = onto.project(v)
        assert not onto.project_tangent(z, normal(20, 30, seed=1))[z == 0].any()


@pytest.mark.parametrize("kind", [kind for kind in all_sets if issubclass(kind, Polyhedron)])
def test_tangent_is_an_orthogonal_projector(kind: type[Polyhedron]) -> None:
    onto = make(kind, 9)
    z = onto.project(2 * normal(20, 9))
    w, u = normal(20, 9, seed=1), normal(20, 9, seed=2)
    along = onto.project_tangent(z, w)
    torch.testing.assert_close(onto.project_tangent(z, along), along)
    torch.testing.assert_close((along * u).sum(-1), (w * onto.project_tangent(z, u)).sum(-1))


@pytest.mark.parametrize("kind", all_sets)
def test_a_sample_alone_is_a_sample_in_a_batch(kind: type[ConvexSet]) -> None:
    v = normal(16, 20) * torch.logspace(-2, 2, 16, dtype=torch.float64)[:, None]
    v[3, 4] = float("nan")
    onto = make(kind, 20)
    together = onto.project(v)
    for i in [0, 7, 15]:
        alone = onto.project(v[i : i + 1])[0]
        # A product with a matrix may sum in another order for another batch.
        torch.testing.assert_close(alone, together[i], rtol=0, atol=1e-12 if kind is AffineSet else 0)
    assert torch.isfinite(together[:3]).all()
    assert torch.isfinite(together[4:]).all()


def test_entries_left_out_by_minus_infinity() -> None:
    v = torch.tensor([[1.0, -torch.inf, 0.5, -torch.inf]])
    torch.testing.assert_close(sparsemax(v), torch.tensor([[0.75, 0.0, 0.25, 0.0]]))


def test_simplex_where_newton_drops_one_entry_a_step() -> None:
    # With t_m the threshold of the first m entries, entry m is t_(m-1) - d_m, and d_m grows so fast that entry m - 1
    # stays above t_m: every step drops one entry. Only the first two are in the answer.
    entries, total, gap = [0.0, -0.1], -0.1, 1e-12
    for m in range(3, 14):
        threshold = (total - 1) / (m - 1)
        gap *= m
        entries.append(threshold - gap)
        total += entries[-1]
    v = torch.tensor([entries], dtype=torch.float64)
    z = Simplex().project(v)
    torch.testing.assert_close(z[0, :2], torch.tensor([0.55, 0.45], dtype=torch.float64))
    assert not z[0, 2:].any()


@pytest.mark.parametrize("kind", all_sets)
def test_empty_batch(kind: type[ConvexSet]) -> None:
    v = torch.zeros(0, 5, dtype=torch.float64, requires_grad=True)
    z = project(v, make(kind, 5))
    assert z.shape == (0, 5)
    assert torch.autograd.grad(z.sum(), v)[0].shape == (0, 5)


def test_the_centre_of_a_ball_passes_every_gradient_on() -> None:
    v = torch.zeros(2, 3, requires_grad=True)
    w = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for onto in (L1Ball(), L2Ball()):
        torch.testing.assert_close(torch.autograd.grad(project(v, onto), v, w)[0], w)


@pytest.mark.parametrize("kind", all_sets)
def test_second_derivatives_and_transforms_raise(kind: type[ConvexSet]) -> None:
    v = normal(2, 5).requires_grad_()
    onto = make(kind, 5)
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(project(v, onto).sum(), v, create_graph=True)
    with pytest.raises(DifferentiationError, match=r"torch\.func"):
        torch.func.vmap(lambda v: project(v, onto))(v)


def test_a_changed_radius_is_noticed() -> None:
    radius = torch.ones((), requires_grad=True)
    z = project(torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_(), Simplex(radius))
    with torch.no_grad():
        radius.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_refuse_parameter_gradient() -> None:
    radius = torch.ones((), requires_grad=True)
    refuse_parameter_gradient(Simplex(1.0), "this layer")
    refuse_parameter_gradient(Simplex(radius.detach()), "this layer")
    with pytest.raises(DifferentiationError, match="this layer gives no gradient to the tensors of Simplex"):
        refuse_parameter_gradient(Simplex(radius), "this layer")


def test_bad_input() -> None:
    for kind in (Simplex, L1Ball, L2Ball):
        for bad in (0.0, -1.0, float("nan"), torch.tensor([1.0, -2.0])):
            with pytest.raises(ArgumentError, match=r"radius.*positive"):
                kind(bad)
    with pytest.raises(ArgumentError, match="lower < upper"):
        Box(1.0, 0.0)
    with pytest.raises(ArgumentError, match="lower < upper"):
        Box(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
    with pytest.raises(ArgumentError, match="total <= dim"):
        CappedSimplex(4).project(torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match="none of them zero"):
        Halfspace(torch.zeros(3))
    with pytest.raises(ArgumentError, match="not linearly independent"):
        AffineSet(torch.ones(2, 3), torch.ones(2))
    with pytest.raises(ArgumentError, match=r"b \(3,\)"):
        AffineSet(torch.ones(2, 3), torch.ones(3))
