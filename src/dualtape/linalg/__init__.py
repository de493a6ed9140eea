"""Products of arrays and ``np.linalg`` for arrays of numbers.

Read `registration` (which function leads where), `inverse` (the shortest rule), `solve`,
`symmetric`, `determinant` and `products` with `tracked_products` (the product as a block of its
own) and `dual_products`; `singular` has singular values, QR factors and pseudo-inverses, `norms`
what is made of them; `least_squares` needs no rule.  `matrices` has shared kernels, `lapack` calls
LAPACK.
"""

OPEN: dict[str, str] = {
    "registration": "",
}
"""What other packages may use: names, by module."""
