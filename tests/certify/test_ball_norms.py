"""Norms on a ball of parameters against the networks in it, one ingredient at a time."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.certify.constants.edge import edge_of, hessian_change
from widthwise.certify.constants.layers import extended_features, fourth_norm
from widthwise.certify.constants.preactivations import PreactivationBounds
from widthwise.certify.evaluation import Block, evaluate
from widthwise.model.architecture import Layer


def steepest_fourth(matrix, rng, tries=20, rounds=200):
    """A lower bound of |X|_{2→4}: power iteration for Σ (x_a·v)⁴, from the rows too."""
    best = 0.0
    for v in [*matrix, *rng.normal(size=(tries, matrix.shape[1]))]:
        for _ in range(rounds):
            v = v / np.linalg.norm(v)
            best = max(best, ((matrix @ v) ** 4).sum() ** 0.25)
            v = matrix.T @ (matrix @ v) ** 3
    return best


@pytest.mark.parametrize("shape", [(1, 3), (6, 1), (4, 4), (30, 8), (8, 30), (60, 60)])
def test_fourth_norm_above_power_iteration(shape):
    rng = np.random.default_rng(0)
    for matrix in (
        rng.normal(size=shape),
        rng.normal(size=shape) ** 5,
        np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1])),
        1e-200 * rng.normal(size=shape),
    ):
        bound = fourth_norm(matrix, float(np.linalg.norm(matrix, 2)))
        found = steepest_fourth(matrix / np.abs(matrix).max(), rng, 5, 60) * np.abs(matrix).max()
        assert found <= bound <= 1.15 * found


def test_fourth_norm_of_rank_one_and_of_the_identity():
    column, row = np.array([1.0, -2.0, 3.0]), np.array([0.3, 0.4])
    exact = (column**4).sum() ** 0.25 * np.linalg.norm(row)
    matrix = np.outer(column, row)
    bound = fourth_norm(matrix, float(np.linalg.norm(matrix)))
    assert bound == pytest.approx(exact, rel=1e-6)
    assert fourth_norm(np.eye(7), 1.0) == pytest.approx(1.0, rel=1e-6)
    assert fourth_norm(np.zeros((2, 2)), 0.0) == 0.0


def derivatives(at, i):
    """D^{l←j}, the bends and the S^{jk} of every output of one point, by plain products."""
    p = at.problem
    slope = [at.preactivation(l)[1][i] for l in range(p.depth)]
    D = {(l, l): np.eye(len(slope[l])) for l in range(p.depth)}
    for j in reversed(range(p.depth)):
        for l in range(j + 1, p.depth):
            D[l, j] = p.scales[j + 1] * D[l, j + 1] @ at.blocks[j + 1].weight * slope[j]
    bends = [at.preactivation(l)[2][i] * at.backward[0][l][i] for l in range(p.depth)]
    S = {
        (j, k): [
            sum((D[l, j].T * bends[l][o]) @ D[l, k] for l in range(k, p.depth))
            for o in range(p.y.shape[1])
        ]
        for k in range(p.depth)
        for j in range(k + 1)
    }
    return D, bends, S


def steps(at, radius, rng):
    """Directions of this length: random, and along features and singular vectors of one layer."""
    for kind in range(8):
        layer = rng.integers(len(at.blocks))
        parts = []
        for l, block in enumerate(at.blocks):
            weight = rng.normal(size=block.weight.shape)
            if kind % 2:
                feature = at.features[l][rng.integers(len(at.problem.x))]
                left = np.linalg.svd(block.weight)[0][:, 0] if kind % 4 == 1 else weight[:, 0]
                weight = np.outer(left, feature) * (1.0 if l == layer else 0.05)
            bias = None if block.bias is None else 0.3 * rng.normal(size=block.bias.shape)
            parts.append(Block(weight, bias))
        size = np.sqrt(sum((a**2).sum() for part in parts for a in part if a is not None))
        scale = radius * rng.choice([1.0, 0.7]) / size
        yield tuple(
            Block(scale * weight, None if bias is None else scale * bias) for weight, bias in parts
        )


def steepest(parts, left, right, rng):
    """max |Σ_i u_i V_j-part V_k-part| over unit matrices, alternating from a random start.

    Args:
        parts: for every point and output (vectors h, h̄ and a matrix M) of hᵀVᵀ M V̄ h̄.
        left, right: shapes of V and V̄.
    """
    best, A, B = 0.0, rng.normal(size=left), rng.normal(size=right)
    for _ in range(10):
        A, B = (matrix / max(np.linalg.norm(matrix), 1e-300) for matrix in (A, B))
        values = np.array([(A @ h) @ M @ (B @ g) for h, g, M in parts])
        best = max(best, float(np.linalg.norm(values)))
        u = values / max(np.linalg.norm(values), 1e-300)
        A = sum(c * np.outer(M @ (B @ g), h) for c, (h, g, M) in zip(u, parts, strict=True))
        A = A / max(np.linalg.norm(A), 1e-300)
        B = sum(c * np.outer(M.T @ (A @ h), g) for c, (h, g, M) in zip(u, parts, strict=True))
    return best


def pairs_and_crosses(moved, known, rng):
    """Lower bounds of what ``_pair`` and ``_cross`` bound, by (j, k)."""
    p = moved.problem
    features = [extended_features(moved, l) for l in range(p.depth + 1)]
    points, outputs = p.y.shape
    both, crosses = {}, {}
    for k in range(p.depth):
        for j in range(k + 1):
            parts = [
                (features[j][i], features[k][i], p.root[i] * known[i][2][j, k][o])
                for i in range(points)
                for o in range(outputs)
            ]
            shapes = [
                (M, f.shape[1])
                for M, f in zip(parts[0][2].shape, (features[j], features[k]), strict=True)
            ]
            both[j, k] = steepest(parts, *shapes, rng)
    for k in range(1, p.depth + 1):
        for j in range(k):
            parts = []
            for i in range(points):
                E = moved.preactivation(k - 1)[1][i][:, None] * known[i][0][k - 1, j]
                gradients = np.eye(outputs)
                if k < p.depth:
                    gradients = moved.backward[1][k][i].reshape(outputs, -1)
                for g in gradients:
                    parts.append((features[j][i], g, p.root[i] * p.scales[k] * E.T))
            below, above = parts[0][2].shape  # hᵀV_jᵀ Eᵀ V_kᵀ g
            shapes = (below, features[j].shape[1]), (above, len(parts[0][1]))
            crosses[j, k] = steepest(parts, *shapes, rng)
    return both, crosses


@pytest.mark.parametrize(
    ("kind", "depth", "outputs", "spread", "more"),
    [
        ("tanh", 2, 1, 1.0, {"ratios": [2, 0.5]}),
        ("erf", 3, 2, 1.0, {"ratios": [1, 0.5, 2]}),
        ("gelu", 3, 1, 4.0, {"parametrization": "standard"}),
        ("sin", 3, 1, 0.05, {}),
        ("sin", 3, 2, 1.5, {"ratios": [0.5, 2, 1]}),
    ],
)
@pytest.mark.parametrize("radius", [0.02, 0.3, 3.0])
def test_norms_on_the_ball(kind, depth, outputs, spread, more, radius):
    rng = np.random.default_rng(1)
    net = ww.MLP(depth, kind, weight_std=spread, bias_std=0.4, outputs=outputs, **more)
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(2, outputs))
    parameters = net.init(jax.random.key(2), 6, 3)
    at = evaluate(net, parameters, x, y, np.sqrt([2.0, 1.0]))
    bounds = PreactivationBounds(at)
    edge = edge_of(at, bounds._centre, bounds._reach, radius)
    changes = hessian_change(at, bounds._centre, edge, radius)
    centre = [derivatives(at, i) for i in range(2)]
    for direction in steps(at, radius, rng):
        moved = at.moved(direction)
        for l in range(depth):
            both = zip(moved.preactivation(l), at.preactivation(l), strict=True)
            z, slope, _ = (a - b for a, b in both)
            assert (np.linalg.norm(z, axis=1) <= edge.moves[l]).all()
            assert (np.linalg.norm(slope, axis=1) <= edge.turns[l][0]).all()
            assert (np.abs(slope).max(1) <= edge.turns[l][1]).all()
            h = at.problem.scales[l] * (moved.features[l] - at.features[l])
            assert (np.linalg.norm(h, axis=1) <= edge.inputs[l] + 1e-15).all()
            gradient = np.sqrt((moved.backward[1][l] ** 2).sum((1, 2)))
            assert (gradient <= edge.gradients[l]).all()
            apart = moved.backward[1][l] - at.backward[1][l]
            assert (np.sqrt((apart**2).sum((1, 2))) <= edge.turned[l]).all()
            assert (np.abs(moved.preactivation(l)[1]).max(1) <= edge.slopes[l]).all()
        both, crosses = pairs_and_crosses(moved, [derivatives(moved, i) for i in range(2)], rng)
        for (j, k), found in both.items():
            assert found <= bounds._pair(bounds._hessian(edge, changes, j, k), j, k, edge)
        for (j, k), found in crosses.items():
            assert found <= bounds._cross(edge, j, k)
        for i in range(2):
            D, bends, S = derivatives(moved, i)
            before, bent, signed = centre[i]
            for key in before:
                whole, change = (bound[i] for bound in edge.derivatives[key])
                assert np.linalg.norm(D[key], 2) <= whole + 1e-12
                assert np.linalg.norm(D[key] - before[key], 2) <= change + 1e-12
                assert steepest_fourth(D[key], rng, 1, 20) <= edge.fourths[key][i] + 1e-12
            for l, bend in enumerate(edge.bends):
                apart = bends[l] - bent[l]
                assert np.sqrt((bends[l] ** 2).sum(0)).max() <= bend.largest[i]
                assert np.linalg.norm(apart) <= bend.curved[0][i] + bend.driven[0][i]
                largest = np.sqrt((apart**2).sum(0)).max()
                assert largest <= bend.curved[1][i] + bend.driven[1][i]
            for key, change in changes.items():
                apart = [a - b for a, b in zip(S[key], signed[key], strict=True)]
                assert all(np.linalg.norm(a, 2) <= change[i] for a in apart)
                left, _, right = np.linalg.svd(apart[0])
                force = np.sqrt(sum((left[:, 0] @ a @ right[0]) ** 2 for a in apart))
                assert force <= change[i]


def test_gradients_that_turn_at_equal_length():
    """Two points' gradients, orthogonal at the centre, are aligned by a step of 1.4e-4."""
    net = ww.MLP(2, "sin", weight_std=1.0)
    x, root = np.array([[100.0, 0.0], [100.0, 1.0]]), 2**0.5
    weights = ([[0, np.pi / 2 * root], [0, 0]], [[0, 0], [101 * np.pi * root, 0]], [[1, 1]])
    parameters = tuple(Layer(np.array(weight, float), None) for weight in weights)
    at = evaluate(net, parameters, x, np.zeros((2, 1)))
    radius = np.arcsin(1 / 101) * root / 100
    bounds = PreactivationBounds(at)
    edge = edge_of(at, bounds._centre, bounds._reach, 1.0001 * radius)
    step = [Block(np.zeros_like(weight), None) for weight, _ in at.blocks]
    step[0] = Block(np.array([[-radius, 0.0], [0.0, 0.0]]), None)
    moved = at.moved(tuple(step))
    turn = moved.backward[1][1] - at.backward[1][1]
    assert np.sqrt((turn**2).sum((1, 2))).max() > 1.4
    longer = edge.gradients[1] - bounds._centre.gradients[1]
    assert longer.max() < 1e-3
    rng = np.random.default_rng(0)
    known = [derivatives(moved, i) for i in range(2)]
    found = max(pairs_and_crosses(moved, known, rng)[1][0, 1] for _ in range(5))
    assert found == pytest.approx(70.71, abs=0.01)
    assert found <= bounds._cross(edge, 0, 1)
