"""Jacobian of POLLU, 20 species and 25 reactions: a function so small that the call counts."""

import numpy as np
from numba import njit

import dualtape as ad

from .bench_brusselator import steady
from .peers import by_autograd, by_casadi, by_jax, by_torch
from .problem import Problem, by_dualtape, by_hand

# The state of the test set is zero in most species; a little of each is in the air here, so that
# no entry of the Jacobian is zero by accident.
STATE = np.zeros(20)
STATE[[1, 3, 6, 7, 8, 16]] = 0.2, 0.04, 0.1, 0.3, 0.01, 0.007
STATE += 0.01 * (1.0 + np.cos(np.arange(20)))

# Rate constant, factors, species consumed, species produced.
REACTIONS = (
    (0.35, (0,), (0,), (1, 2)),
    (26.6, (1, 3), (1, 3), (0,)),
    (12300.0, (4, 1), (1, 4), (0, 5)),
    (0.86e-3, (6,), (6,), (4, 4, 7)),
    (0.82e-3, (6,), (6,), (7,)),
    (15000.0, (6, 5), (5, 6), (4, 7)),
    (0.13e-3, (8,), (8,), (4, 7, 9)),
    (24000.0, (8, 5), (5, 8), (10,)),
    (16500.0, (10, 1), (1, 10), (0, 9, 11)),
    (9000.0, (10, 0), (0, 10), (12,)),
    (0.022, (12,), (12,), (0, 10)),
    (12000.0, (9, 1), (1, 9), (0, 13)),
    (1.88, (13,), (13,), (4, 6)),
    (16300.0, (0, 5), (0, 5), (14,)),
    (4.8e6, (2,), (2,), (3,)),
    (0.35e-3, (3,), (3,), (15,)),
    (0.0175, (3,), (3,), (2,)),
    (1e8, (15,), (15,), (5, 5)),
    (4.44e11, (15,), (15,), (2,)),
    (1240.0, (16, 5), (5, 16), (4, 17)),
    (2.1, (18,), (18,), (1,)),
    (5.78, (18,), (18,), (0, 2)),
    (0.0474, (0, 3), (0, 3), (18,)),
    (1780.0, (18, 0), (0, 18), (19,)),
    (3.12, (19,), (19,), (0, 18)),
)

CONSTANTS = np.array([k for k, *_ in REACTIONS])
FIRST = np.array([factors[0] for _, factors, *_ in REACTIONS])
# Species 20 is a one that is appended to the others.
SECOND = np.array([(*factors, 20)[1] for _, factors, *_ in REACTIONS])
STOICHIOMETRY = np.zeros((20, 25))
for _j, (_, _, _consumed, _produced) in enumerate(REACTIONS):
    np.subtract.at(STOICHIOMETRY[:, _j], list(_consumed), 1.0)
    np.add.at(STOICHIOMETRY[:, _j], list(_produced), 1.0)
# The same by reaction: changes of one reaction are CHANGED[START[j] : START[j + 1]].
START = np.concatenate(([0], np.cumsum(np.count_nonzero(STOICHIOMETRY, axis=0))))
CHANGED = np.nonzero(STOICHIOMETRY.T)[1]
CHANGE = STOICHIOMETRY.T[STOICHIOMETRY.T != 0.0]


@njit
def pollu(y):
    """Air pollution: 20 species, 25 reactions (Verwer 1994; Hairer and Wanner's test set)."""
    r1, r2, r3 = 0.35 * y[0], 26.6 * y[1] * y[3], 12300.0 * y[4] * y[1]
    r4, r5, r6 = 0.86e-3 * y[6], 0.82e-3 * y[6], 15000.0 * y[6] * y[5]
    r7, r8, r9 = 0.13e-3 * y[8], 24000.0 * y[8] * y[5], 16500.0 * y[10] * y[1]
    r10, r11, r12 = 9000.0 * y[10] * y[0], 0.022 * y[12], 12000.0 * y[9] * y[1]
    r13, r14, r15 = 1.88 * y[13], 16300.0 * y[0] * y[5], 4.8e6 * y[2]
    r16, r17, r18 = 0.35e-3 * y[3], 0.0175 * y[3], 1e8 * y[15]
    r19, r20, r21 = 4.44e11 * y[15], 1240.0 * y[16] * y[5], 2.1 * y[18]
    r22, r23, r24 = 5.78 * y[18], 0.0474 * y[0] * y[3], 1780.0 * y[18] * y[0]
    r25 = 3.12 * y[19]
    f = np.empty(20)
    f[0] = -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25
    f[1] = -r2 - r3 - r9 - r12 + r1 + r21
    f[2] = -r15 + r1 + r17 + r19 + r22
    f[3] = -r2 - r16 - r17 - r23 + r15
    f[4] = -r3 + 2.0 * r4 + r6 + r7 + r13 + r20
    f[5] = -r6 - r8 - r14 - r20 + r3 + 2.0 * r18
    f[6] = -r4 - r5 - r6 + r13
    f[7] = r4 + r5 + r6 + r7
    f[8] = -r7 - r8
    f[9] = -r12 + r7 + r9
    f[10] = -r9 - r10 + r8 + r11
    f[11] = r9
    f[12] = -r11 + r10
    f[13] = -r13 + r12
    f[14] = r14
    f[15] = -r18 - r19 + r16
    f[16] = -r20
    f[17] = r20
    f[18] = -r21 - r22 - r24 + r23 + r25
    f[19] = -r25 + r24
    return f


@njit
def pollu_jacobian(y):
    """Jacobian of `pollu`, by hand: every reaction adds to the columns of its factors."""
    jacobian = np.zeros((20, 20))
    for j in range(25):
        a, b = FIRST[j], SECOND[j]
        by_first = CONSTANTS[j] * (y[b] if b < 20 else 1.0)
        for k in range(START[j], START[j + 1]):
            jacobian[CHANGED[k], a] += CHANGE[k] * by_first
            if b < 20:
                jacobian[CHANGED[k], b] += CHANGE[k] * CONSTANTS[j] * y[a]
    return jacobian


def written_with(np_like, made=np.asarray):
    """Return the reactions for another library's arrays: rates, then one product."""
    constants, changes, one = made(CONSTANTS), made(STOICHIOMETRY), made(np.ones(1))

    def f(y):
        extended = np_like.concatenate((y, one))
        return changes @ (constants * y[FIRST] * extended[SECOND])

    return f


def casadi_jacobian(casadi):
    """Return input and sparse Jacobian."""
    y = casadi.SX.sym("y", 20)
    extended = casadi.vertcat(y, 1.0)
    rates = CONSTANTS * y[FIRST.tolist()] * extended[SECOND.tolist()]
    changes = casadi.sparsify(casadi.DM(STOICHIOMETRY))
    return [y], casadi.jacobian(changes @ rates, y)


def problems(small=False):
    """Yield the problem, which is small already."""
    y, f = STATE, pollu

    def torch_jacobian(torch):
        return torch.func.jacrev(written_with(torch, torch.from_numpy))

    yield Problem(
        name="pollu",
        title="POLLU, 20 species, 25 reactions: Jacobian",
        primal=f,
        args=(y,),
        reference=lambda: pollu_jacobian(y),
        candidates=[
            by_hand(pollu_jacobian, y),
            by_dualtape("auto", lambda: ad.jacobian(f), y),
            by_dualtape("sparse", lambda: steady(ad.sparse_jacobian(f), y), y),
            by_dualtape("sparse, prepared", lambda: ad.prepare_sparse_jacobian(f, y), y),
            by_jax(lambda jax, jnp: jax.jacfwd(written_with(jnp)), y),
            by_casadi(casadi_jacobian, y),
            by_casadi(casadi_jacobian, y, gcc=True),
            by_autograd(lambda a, anp: a.jacobian(written_with(anp)), y),
            by_torch(torch_jacobian, y),
        ],
    )


def bench_jacobian(run, case):
    run(case)
