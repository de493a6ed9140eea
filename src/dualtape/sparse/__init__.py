"""Sparse Jacobians and Hessians as ``scipy.sparse`` arrays.

Read `jacobian` and `hessian` (what users call), `driver` (the compiled part), `program`
(elimination on a tape), `pattern`, `coloring` and `matrices`.
"""

OPEN: dict[str, str] = {
    "hessian": "sparse_hessian",
    "jacobian": "sparse_jacobian",
}
"""What other packages may use: names, by module."""
