"""The other libraries, each called the way its own users call it where speed counts.

Every function takes `build`, which gets the library and returns a function of arrays (for CasADi:
symbols and an expression), and returns a `Candidate`.  Nothing is imported before a candidate is
made.
"""

import contextlib
import importlib.util
import shutil
import tempfile

import numpy as np
from scipy import sparse

from .problem import Call, Candidate


def is_installed(candidate):
    """Whether the library of a candidate can be imported; CasADi's own compiler needs gcc."""
    if candidate.mode == "gcc" and shutil.which("gcc") is None:
        return False
    return not candidate.needs or importlib.util.find_spec(candidate.needs) is not None


def jax_module():
    """Return JAX in double precision, without the thread that it hands computations to.

    On one core the hand-over costs 15 us a call, more than most of these derivatives.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return jax


def by_jax(build, *args, mode="jit", slow=False):
    """JAX: one jitted function of arrays that are on the device already."""

    def make():
        jax = jax_module()
        function = jax.jit(build(jax, jax.numpy))
        placed = tuple(jax.numpy.asarray(a) for a in args)
        return Call(lambda *a: function(*a).block_until_ready(), placed)

    return Candidate("JAX", mode, make, "jax", slow)


def by_autograd(build, *args, slow=False):
    """Autograd: a function of NumPy arrays."""

    def make():
        import autograd
        import autograd.numpy

        return Call(build(autograd, autograd.numpy), args)

    return Candidate("autograd", "", make, "autograd", slow)


def torch_module():
    """Return PyTorch with one thread."""
    import torch

    torch.set_num_threads(1)
    return torch


def by_torch(build, *args, slow=False):
    """PyTorch without its compiler: a function of tensors."""

    def make():
        torch = torch_module()
        tensors = tuple(torch.from_numpy(np.array(a)) for a in args)
        return Call(build(torch), tensors)

    return Candidate("PyTorch", "", make, "torch", slow)


def torch_gradient(torch, f):
    """Return x -> gradient, by a backward pass."""

    def gradient(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(f(x), x)[0]

    return gradient


def by_casadi(build, *args, gcc=False, slow=False):
    """CasADi: a function with buffers; `gcc` compiles its generated C code."""

    def make():
        import casadi

        symbols, expression = build(casadi)
        options = {"jit": True, "compiler": "shell", "jit_options": {"flags": ["-O3"]}}
        with contextlib.chdir(tempfile.gettempdir()):  # where the generated C code is put
            function = casadi.Function("f", symbols, [expression], options if gcc else {})
        return casadi_call(function, args)

    return Candidate("CasADi", "gcc" if gcc else "", make, "casadi", slow or gcc)


def bound_casadi(function):
    """Return a CasADi function of one vector as one of arrays: bound memory, copied in and out."""
    x = np.zeros(function.nnz_in(0))
    evaluate, _, read = casadi_call(function, (x,))
    inside = read.kept[1][0]

    def call(x):
        inside[:] = x
        evaluate()
        return read.values.copy()

    return call


def casadi_call(function, args):
    """Return the call of a CasADi function that copies nothing: arguments and result are bound."""
    buffer, evaluate = function.buffer()
    kept = [np.array(a, dtype=float).ravel(order="F") for a in args]
    pattern = function.sparsity_out(0)
    values = np.zeros(pattern.nnz())
    for i, a in enumerate(kept):
        buffer.set_arg(i, memoryview(a))
    buffer.set_res(0, memoryview(values))

    def read(_):
        assert len(kept) == function.n_in()
        parts = (values, pattern.row(), pattern.colind())
        return sparse.csc_array(parts, shape=pattern.shape).toarray().ravel()

    # The buffer holds the bound arrays only by address.
    read.kept, read.values = (buffer, kept), values
    return Call(evaluate, (), read)
