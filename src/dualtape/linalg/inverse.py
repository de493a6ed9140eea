"""Inverses of matrices: with X = A^-1, dX = -X dA X and A_bar -= X^T X_bar X^T."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.array_rule import array_rule
from ..arrays.blas import careful_product
from .matrices import copy_flat, negative
from .products import left_products, times


@array_rule
def inverse(a: Any) -> Any:
    """Return the inverse of a matrix."""
    return np.ascontiguousarray(np.linalg.inv(a))


@inverse.tangent
def inverse_tangent(x: Any, da: Any) -> Any:
    """Return -X dA X."""
    minus, planes = negative(x), left_products(da, x)
    for i in range(planes.shape[0]):
        copy_flat(planes[i], times(minus, planes[i]))
    return planes


@inverse.adjoint
def inverse_adjoint(x: Any, bar: Any) -> Any:
    """Return -X^T X_bar X^T."""
    return careful_product(careful_product(negative(x).T, bar), x.T)
