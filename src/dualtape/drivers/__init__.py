"""The code of one derivative, and the dispatcher around it.

Read `forward` (seed, run, read) with `readers`, `directions`, `signature` (its types), `emitter`
(its instructions) and `results`; `reverse`, `vjp`; then `dispatcher`, `pipeline`, `options`,
`factory` and `live` (what is called from Python), `select_mode`, `nested` (transforms in compiled
code) and `compose`. `checkpoint`, `checkpoint_loop` and `revolve` trade memory for time,
`random_state` repeats random numbers.
"""

OPEN: dict[str, str] = {
    "checkpoint": "checkpoint_driver",
    "checkpoint_loop": "loop_driver",
    "compose": "compiled_function composed",
    "dispatcher": "Transform as_float count_numbers",
    "emitter": "Emitter Input unpacked",
    "factory": "Request cached checked_function name_of py_func_of twin_driver",
    "forward": "ForwardSweep",
    "live": "LiveTransform live",
    "nested": "nestable",
    "options": "Argnums checked_argnum checked_argnums checked_method require_count",
    "readers": "Reader read_gradient",
    "results": "as_vector vector_type",
    "reverse": "TapeSession",
    "select_mode": "HESSIAN gradient hessian jacobian product",
    "signature": "DerivativeTypes base_type is_differentiable leaves",
    "vjp": "plain_tuple pullback_maker record_driver",
}
"""What other packages may use: names, by module."""
