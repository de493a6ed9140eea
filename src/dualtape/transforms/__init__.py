"""The public transforms: from a function to its derivatives.

Read `derivatives` (grad, jacobian, hessian) and `products` (derivative, jvp, vjp, hvp);
`checkpoint`, `custom_rule`, `interpolate`, `ravel`, `score`, `relaxations`, `check` and
`vector_math` stand beside;
`registration` lets all of them be called in compiled code.
"""

OPEN: dict[str, str] = {
    "checkpoint": "loop_function",
    "derivatives": "grad hessian jacobian value_and_grad value_and_jacobian value_grad_hessian",
    "products": "derivative hvp jvp vjp",
}
"""What other packages may use: names, by module."""
