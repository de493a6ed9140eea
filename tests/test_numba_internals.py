"""What dualtape uses of Numba beyond its documented interface, one test for each piece.

A new Numba whose internals differ fails here first, and says which module of the package has to
change.  Documented extension points (``overload``, ``intrinsic``, ``box``) are not listed.
"""

import inspect
import traceback

import numba
import numpy as np
import pytest
from llvmlite import ir as llvm
from llvmlite.ir.instructions import CallInstrAttributes
from numba.core import boxing, cgutils, compiler, dispatcher, event, imputils, ir, types, typing
from numba.core.base import BaseContext
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import (
    CodeLibraryCacheImpl,
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    NullCache,
)
from numba.core.codegen import JITCodeLibrary, RuntimeLinker
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.cpu import ParallelOptions
from numba.core.datamodel import default_manager, models
from numba.core.environment import Environment
from numba.core.errors import NumbaWarning, TypingError, WarningsFixer
from numba.core.inline_closurecall import InlineClosureCallPass
from numba.core.ir_utils import build_definitions, mk_unique_var
from numba.core.lowering import Lower
from numba.core.postproc import PostProcessor
from numba.core.pythonapi import EnvironmentManager, PythonAPI, _boxers
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.rewrites.registry import Rewrite, RewriteRegistry, rewrite_registry
from numba.core.runtime import rtsys
from numba.core.runtime.context import NRTContext
from numba.core.targetconfig import ConfigStack
from numba.core.typed_passes import NopythonRewrites
from numba.core.typeinfer import TypeInferer, TypeVar, TypeVarMap
from numba.core.types.abstract import DTypeSpec
from numba.core.typing.templates import (
    AbstractTemplate,
    _OverloadFunctionTemplate,
    infer_global,
    make_overload_template,
    signature,
)
from numba.core.untyped_passes import FixupArgs, ReconstructSSA
from numba.experimental.jitclass import base as jitclass_base
from numba.extending import intrinsic, lower_builtin
from numba.np import arrayobj, npyimpl
from numba.np.ufunc.array_exprs import RewriteArrayExprs
from numba.np.unsafe.ndarray import empty_inferred

from dualtape.backend.linking import ENVIRONMENT


def assert_parameters(function, expected, user):
    """Check the names of a function's first parameters."""
    found = list(inspect.signature(function).parameters)[: len(expected)]
    assert found == expected, (
        f"{function.__qualname__} of Numba {numba.__version__} takes {found}, but dualtape.{user} "
        f"passes {expected}"
    )


def assert_has(owner, names, user):
    """Check that an object has all these attributes."""
    missing = [name for name in names if not hasattr(owner, name)]
    assert not missing, (
        f"{owner!r} of Numba {numba.__version__} has no {missing}, which dualtape.{user} uses"
    )


def add_one(x):
    return x + 1.0


# Type inference: inference


def test_inference_asks_the_map_of_its_variables():
    assert_parameters(TypeVar.add_type, ["self", "tp", "loc"], "twin.inference")
    assert_has(
        TypeInferer, ["seed_argument", "build_constraint", "propagate", "unify"], "inference"
    )
    asked = []

    class Asked(TypeVarMap):
        def __getitem__(self, name):
            asked.append(name)
            return super().__getitem__(name)

    func_ir = compiler.run_frontend(add_one)
    context = cpu_target.typing_context
    context.refresh()
    inferer = TypeInferer(context, func_ir, WarningsFixer(NumbaWarning))
    inferer.typevars = Asked()
    inferer.typevars.set_context(context)
    inferer.seed_argument("x", 0, types.float64)
    inferer.build_constraint()
    inferer.propagate()
    typemap, returned, _ = inferer.unify()
    assert returned == typemap["x"] == types.float64
    assert {"x", "arg.x"} <= set(asked)


# Dispatchers and caches: _jit, making, driver


def test_a_dispatcher_asks_the_object_in_its_attribute_cache():
    class Recorder(NullCache):
        asked, saved = [], []

        def load_overload(self, sig, target_context):
            self.asked.append(sig)

        def save_overload(self, sig, cres):
            self.saved.append(cres.signature)

    function = numba.njit(add_one)
    assert type(function._cache) is NullCache, (
        "dualtape.backend.jit tells by this that nothing is cached"
    )
    function._cache = Recorder()
    assert function(1.0) == 2.0
    assert Recorder.asked == [(types.float64,)]
    assert [sig.return_type for sig in Recorder.saved] == [types.float64]


def test_a_function_cache_finds_entries_by_index_key(tmp_path, monkeypatch):
    assert_parameters(FunctionCache._index_key, ["self", "sig", "codegen"], "backend.jit")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    class Stamped(FunctionCache):
        stamp = "first"

        def _index_key(self, sig, codegen):
            return (sig, codegen.magic_tuple(), self.stamp)

    def compiled_anew(stamp):
        function = numba.njit(add_one)
        function._cache = Stamped(function.py_func)
        function._cache.stamp = stamp
        assert function(1.0) == 2.0
        return sum(function.stats.cache_hits.values())

    assert [compiled_anew(s) for s in ("first", "first", "second", "second")] == [0, 1, 0, 1]


def test_the_codegen_names_the_machine():
    magic = cpu_target.target_context.codegen().magic_tuple()
    assert isinstance(magic, tuple)
    assert hash(magic) == hash(cpu_target.target_context.codegen().magic_tuple())


def test_a_library_can_be_linked_without_machine_code():
    names = [
        "finalize", "_get_module_for_linking", "_codegen", "_final_module", "_linking_libraries",
        "_reload_init", "_dynamic_globals", "_shared_module", "_finalized",
    ]  # fmt: skip
    library = JITCodeLibrary(cpu_target.target_context.codegen(), "empty")
    assert_has(library, names, "backend.linking")
    assert_has(library._codegen, ["_engine", "_tm", "_create_empty_module"], "backend.linking")
    assert_has(library._codegen._engine, ["add_module", "finalize_object"], "backend.linking")
    assert_parameters(CompilerBase.compile_extra, ["self", "func"], "backend.linking")
    assert RuntimeLinker.PREFIX == ".numba.unresolved$"
    code = numba.njit(add_one)
    code(1.0)
    (made,) = code.overloads.values()
    globals_of = [known.name for known in made.library._final_module.global_variables]
    assert any(name.startswith(ENVIRONMENT) for name in globals_of), globals_of


def test_a_function_without_a_source_file_cannot_be_cached():
    """_jit catches the error and compiles each time."""
    scope = {}
    exec(compile("def f(x): return x", "<no file>", "exec"), scope)
    with pytest.raises(RuntimeError, match="no locator available"):
        FunctionCache(scope["f"])


def test_the_dispatcher_takes_a_compiler():
    assert_parameters(
        CPUDispatcher.__init__,
        ["self", "py_func", "locals", "targetoptions", "pipeline_class"],
        "activate",
    )
    function = numba.njit(nogil=True)(add_one)
    assert_has(function, ["py_func", "targetoptions", "overloads", "stats"], "twin.activation")
    assert function.targetoptions["nogil"] is True


def test_compile_for_args_may_return_another_function():
    """It is called from C if no compiled version fits; what it returns gets the arguments."""
    calls = []

    class Forwarding(CPUDispatcher):
        def _compile_for_args(self, *args, **kws):
            if isinstance(args[0], int):
                calls.append(args)
                return lambda *a, **k: self(float(a[0]))
            return super()._compile_for_args(*args, **kws)

    function = Forwarding(add_one, targetoptions={"nopython": True})
    assert function(1) == 2.0
    assert calls == [(1,)]
    assert function(1.5) == 2.5
    assert function.nopython_signatures == [typing.signature(types.float64, types.float64)]


def test_arguments_without_a_type_reach_compile_for_args():
    """If the options say nopython only after the dispatcher is made."""

    class Counting(CPUDispatcher):
        def _compile_for_args(self, *args, **kws):
            return lambda *a, **k: len(a[0])

    options = {}
    function = Counting(add_one, targetoptions=options)
    options["nopython"] = True
    assert function.targetoptions["nopython"] is True
    assert function([]) == 0
    assert function.typeof_pyval([]) is types.pyobject
    with pytest.raises(ValueError, match="empty list"):
        Counting(add_one, targetoptions={"nopython": True})([])


def test_omitted_arguments_reach_compile_for_args_with_their_default():
    seen = []

    class Recording(CPUDispatcher):
        def _compile_for_args(self, *args, **kws):
            seen.extend(args)
            return super()._compile_for_args(*args, **kws)

    function = Recording(lambda x, y=2.0: x * y, targetoptions={"nopython": True})
    assert function(3.0) == 6.0
    assert isinstance(seen[1], dispatcher.OmittedArg)
    assert seen[1].value == 2.0


def test_numba_type_attribute_makes_an_object_stand_for_a_dispatcher():
    class Lazy:
        function = numba.njit(add_one)  # the type refers to it weakly
        _numba_type_ = types.Dispatcher(function)

    lazy = Lazy()
    assert numba.njit(lambda x: lazy(x))(1.0) == 2.0  # noqa: PLW0108
    resolved = cpu_target.typing_context.resolve_value_type(lazy)
    found = resolved.get_call_type(cpu_target.typing_context, (types.float64,), {})
    assert (found.args, found.return_type) == ((types.float64,), types.float64)


# Pipelines and IR: activate, aliasing, driver


def test_a_pass_after_reconstruct_ssa_sees_untyped_ir_and_argument_types():
    seen = {}

    @register_pass(mutates_CFG=False, analysis_only=False)
    class Spy(FunctionPass):
        _name = "dualtape_test_spy"

        def __init__(self):
            FunctionPass.__init__(self)

        def run_pass(self, state):
            seen.update(args=state.args, blocks=state.func_ir.blocks, typemap=state.typemap)
            return False

    class Compiler(CompilerBase):
        def define_pipelines(self):
            manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
            manager.add_pass_after(Spy, ReconstructSSA)
            manager.finalize()
            return [manager]

    function = CPUDispatcher(add_one, targetoptions={"nopython": True}, pipeline_class=Compiler)
    assert function(1.0) == 2.0
    assert seen["args"] == (types.float64,)
    assert seen["typemap"] is None
    assert any(isinstance(s, ir.Assign) for block in seen["blocks"].values() for s in block.body)


def test_passes_are_pairs_of_a_class_and_a_description():
    seen = []

    class Compiler(CompilerBase):
        def define_pipelines(self):
            manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
            seen.extend(step for step, _ in manager.passes)
            assert_has(
                self.state.flags, ["no_cpython_wrapper", "no_cfunc_wrapper"], "drivers.pipeline"
            )
            return [manager]

    function = CPUDispatcher(add_one, targetoptions={"nopython": True}, pipeline_class=Compiler)
    assert function(1.0) == 2.0
    for step in (FixupArgs, ReconstructSSA, NopythonRewrites):
        assert seen.count(step) == 1, f"{step} is not a pass of Numba {numba.__version__}"


def test_the_rewrite_of_array_expressions_runs_after_inference():
    assert RewriteArrayExprs in rewrite_registry.rewrites["after-inference"], (
        "dualtape.twin.activation puts its own in place of this rewrite where active numbers are"
    )
    parameters = ["self", "instr", "expr", "target_name"]
    assert_parameters(RewriteArrayExprs._match_array_expr, parameters, "twin.fusion")
    assert_parameters(
        Rewrite.match, ["self", "func_ir", "block", "typemap", "calltypes"], "twin.fusion"
    )
    assert not RewriteRegistry().rewrites["after-inference"]
    assert_parameters(RewriteRegistry.apply, ["self", "kind", "state"], "twin.activation")
    assert_has(PostProcessor, ["run", "remove_dels"], "twin.activation")


def test_expressions_of_other_kinds_are_lowered_by_special_ops():
    assert isinstance(cpu_target.target_context.special_ops, dict), "fusion adds its own there"
    lowering = inspect.getsource(Lower.lower_expr)
    assert "self.context.special_ops[expr.op](self, expr)" in lowering, "fusion"


def test_calls_have_attributes():
    convention = cpu_target.target_context.call_conv
    assert "attrs" in inspect.signature(convention.call_function).parameters, (
        "backend.calls.call_apart"
    )
    assert "noinline" in CallInstrAttributes._known, "backend.calls.call_apart"


def test_the_frontend_returns_ir_without_types():
    func_ir = compiler.run_frontend(add_one)
    assert_has(
        func_ir, ["blocks", "arg_names", "loc", "_definitions", "get_definition"], "aliasing"
    )
    assigned = [
        s for block in func_ir.blocks.values() for s in block.body if isinstance(s, ir.Assign)
    ]
    (argument,) = (s for s in assigned if isinstance(s.value, ir.Arg))
    assert argument.value.index == 0
    assert build_definitions(func_ir.blocks)[argument.target.name] == [argument.value]
    operation = next(s.value for s in assigned if getattr(s.value, "op", None) == "binop")
    assert operation.lhs.name == argument.target.name
    assert isinstance(func_ir.get_definition(operation.rhs), ir.Const)


def test_ir_nodes_are_built_as_the_package_builds_them():
    assert_parameters(ir.Var.__init__, ["self", "scope", "name", "loc"], "twin.activation")
    assert_parameters(ir.Assign.__init__, ["self", "value", "target", "loc"], "twin.activation")
    assert_parameters(ir.Global.__init__, ["self", "name", "value", "loc"], "twin.activation")
    assert_parameters(ir.Const.__init__, ["self", "value", "loc"], "drivers.pipeline")
    assert_parameters(ir.Arg.__init__, ["self", "name", "index", "loc"], "drivers.pipeline")
    assert_parameters(ir.Return.__init__, ["self", "value", "loc"], "drivers.pipeline")
    assert_parameters(ir.Block.__init__, ["self", "scope", "loc"], "drivers.pipeline")
    assert_parameters(ir.Expr.call, ["func", "args", "kws", "loc"], "twin.activation")
    assert_parameters(ir.Expr.cast, ["value", "loc"], "drivers.pipeline")
    assert_parameters(ir.Expr.build_tuple, ["items", "loc"], "drivers.pipeline")
    assert_parameters(
        ir.Expr.static_getitem, ["value", "index", "index_var", "loc"], "drivers.pipeline"
    )
    assert mk_unique_var("$plain") != mk_unique_var("$plain")


def test_a_function_gets_another_body_by_derive():
    @register_pass(mutates_CFG=True, analysis_only=False)
    class ReturnSeven(FunctionPass):
        _name = "dualtape_test_return_seven"

        def __init__(self):
            FunctionPass.__init__(self)

        def run_pass(self, state):
            func_ir, loc = state.func_ir, state.func_ir.loc
            scope = ir.Scope(None, loc)
            block = ir.Block(scope, loc)
            seven, cast = (scope.define(name, loc) for name in ("$seven", "$cast"))
            block.append(ir.Assign(ir.Const(7.0, loc), seven, loc))
            block.append(ir.Assign(ir.Expr.cast(seven, loc), cast, loc))
            block.append(ir.Return(cast, loc))
            state.func_ir = func_ir.derive({0: block})
            state.func_ir._definitions = build_definitions({0: block})
            return True

    class Compiler(CompilerBase):
        def define_pipelines(self):
            manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
            manager.add_pass_after(ReturnSeven, FixupArgs)
            manager.finalize()
            return [manager]

    function = CPUDispatcher(add_one, targetoptions={"nopython": True}, pipeline_class=Compiler)
    assert function(1.0) == 7.0


def test_contexts_learn_of_functions_made_while_compiling():
    assert_has(cpu_target.typing_context, ["refresh", "_lookup_global"], "twin.activation")
    assert_has(cpu_target.target_context, ["refresh"], "twin.activation")
    known = cpu_target.typing_context._lookup_global
    assert known(add_one) is None
    assert known(sum) is not None, "a function with an overload must be known to Numba"


# Typing and lowering: numbers and arrays


def stub(x, y):
    raise NotImplementedError


@infer_global(stub)
class GenericTemplate(AbstractTemplate):
    def generic(self, args, kws):
        return signature(types.int64, *args)


@infer_global(stub)
class FirstTemplate(AbstractTemplate):
    metadata = {"target": "cpu"}  # noqa: RUF012
    prefer_literal = True
    seen = []  # noqa: RUF012

    def generic(self, args, kws):
        self.seen.append(args)
        return signature(types.float64, *args)

    def get_impl_key(self, sig):
        return (stub, "of this test")


@lower_builtin((stub, "of this test"), types.VarArg(types.Any))
def lower_stub(context, builder, sig, args):
    return context.get_constant(types.float64, 42.0)


def test_a_template_for_the_cpu_is_asked_before_the_generic_ones():
    assert numba.njit(lambda x: stub(x, 3))(1.0) == 42.0


def test_a_template_may_ask_for_literal_types_first():
    FirstTemplate.seen.clear()
    numba.njit(lambda x: stub(x, 3))(1.0)
    (first, *_) = FirstTemplate.seen
    assert first[1] == types.literal(3)
    assert first[1].literal_value == 3


def test_lowering_calls_another_dispatcher():
    """The steps of emit.invoke."""
    square = numba.njit(lambda x: x * x)

    @intrinsic
    def squared(typingctx, x):
        def codegen(context, builder, sig, args):
            function_type = context.typing_context.resolve_value_type(square)
            found = function_type.get_call_type(context.typing_context, sig.args, {})
            implementation = context.get_function(function_type, found)
            context.add_linking_libs(getattr(implementation, "libs", ()))
            return implementation(builder, args)

        return x(x), codegen

    assert numba.njit(lambda x: squared(x))(3.0) == 9.0  # noqa: PLW0108


def test_lowering_raises_an_exception():
    @intrinsic
    def fail_if_zero(typingctx, x):
        def codegen(context, builder, sig, args):
            zero = builder.fcmp_ordered("==", args[0], llvm.Constant(args[0].type, 0.0))
            with builder.if_then(zero, likely=False):
                context.call_conv.return_user_exc(builder, IndexError, ("it is zero",))
            return args[0]

        return x(x), codegen

    function = numba.njit(lambda x: fail_if_zero(x))  # noqa: PLW0108
    assert function(1.0) == 1.0
    with pytest.raises(IndexError, match="it is zero"):
        function(0.0)


def test_helpers_that_index_broadcast_operands():
    fields = [
        "context", "builder", "shape", "strides", "data", "layout", "base_type", "ndim",
        "return_val",
    ]  # fmt: skip
    assert list(npyimpl._ArrayHelper._fields) == fields, (
        "dualtape.arrays.registration passes these in order"
    )
    assert_has(
        npyimpl._ArrayHelper,
        ["create_iter_indices", "load_data", "store_data"],
        "arrays",
    )
    assert_parameters(
        npyimpl._ScalarHelper.__init__, ["self", "ctxt", "bld", "val", "ty"], "arrays"
    )


def test_arrays_are_made_while_lowering():
    assert_parameters(
        arrayobj._empty_nd_impl, ["context", "builder", "arrtype", "shapes"], "arrays"
    )
    assert_parameters(
        arrayobj.populate_array,
        ["array", "data", "shape", "strides", "itemsize", "meminfo"],
        "seed",
    )


def test_memory_is_taken_while_lowering():
    context = cpu_target.target_context
    assert_parameters(
        NRTContext.meminfo_alloc_aligned_unchecked,
        ["self", "builder", "size", "align"],
        "allocation",
    )
    assert_has(
        NRTContext, ["meminfo_alloc_aligned_unchecked", "meminfo_data"], "backend.allocation"
    )
    assert context.get_preferred_array_alignment(types.float64) >= 8
    assert_parameters(
        cgutils.raw_memmove, ["builder", "dst", "src", "count", "itemsize"], "allocation"
    )
    assert_parameters(cgutils.memset, ["builder", "ptr", "size", "value"], "backend.allocation")
    for ty in (types.NumberClass(types.uint8), types.DType(types.uint8)):
        assert isinstance(ty, DTypeSpec), "dualtape.backend.allocation takes it for a dtype"
        assert ty.dtype == types.uint8


# Data models and jitclasses: byvalue, partials


def test_data_models_have_the_methods_that_partials_define():
    for name in (
        "get_value_type", "get_data_type", "get_argument_type", "get_return_type",
        "as_data", "from_data", "as_argument", "from_argument", "as_return", "from_return",
        "load_from_data_pointer", "traverse",
    ):  # fmt: skip
        assert_has(models.DataModel, [name], "numbers.partials")
    assert_parameters(
        models.DataModel.load_from_data_pointer, ["self", "builder", "ptr", "align"], "partials"
    )
    assert_parameters(
        models.StructModel.__init__, ["self", "dmm", "fe_type", "members"], "backend.value_struct"
    )
    assert_has(default_manager, ["register", "lookup"], "backend.value_struct")


def test_a_jitclass_is_registered_with_a_class_type_of_ones_own():
    base = jitclass_base
    assert_parameters(
        base.register_class_type, ["cls", "spec", "class_ctor", "builder"], "backend.value_struct"
    )
    assert_parameters(
        types.ClassType.__init__,
        [
            "self", "class_def", "ctor_template_cls", "struct", "jit_methods", "jit_props",
            "jit_static_methods",
        ],
        "byvalue",
    )  # fmt: skip
    assert types.ClassType.instance_type_class is types.ClassInstanceType

    class Plain:
        def __init__(self, x):
            self.x = x

    made = []

    def make(*args):
        made.append(types.ClassType(*args))
        return made[0]

    jitclass = base.register_class_type(Plain, [("x", types.float64)], make, base.ClassBuilder)
    instance_type = jitclass.class_type.instance_type
    assert jitclass.class_type is made[0]
    assert dict(instance_type.struct) == {"x": types.float64}
    assert list(instance_type.jit_methods) == ["__init__"]
    assert_has(instance_type, ["class_type", "key", "get_reference_type"], "backend.value_struct")


def test_the_registry_of_jitclasses_takes_lowerings():
    registry = jitclass_base.ClassBuilder.class_impl_registry
    assert isinstance(registry, imputils.Registry)
    assert_has(
        registry,
        ["lower", "lower_getattr_generic", "lower_setattr_generic"],
        "backend.value_struct",
    )
    assert_parameters(
        jitclass_base.get_attr_impl, ["context", "builder", "typ", "value", "attr"], "byvalue"
    )


def test_fields_of_jitclasses_have_mangled_names():
    assert jitclass_base._mangle_attr("value") == "m_value", (
        "dualtape.numbers.emitted writes m_ itself"
    )


def test_helpers_of_code_generation():
    for name in ("alloca_once", "alloca_once_value", "gep", "unpack_tuple", "if_unlikely"):
        assert_has(cgutils, [name], "numbers.partials")
    assert cgutils.false_bit.constant == 0


# Error reports: retell


def first_line_and_constraint():
    function = numba.njit(lambda x: x.no_such_attribute)
    with pytest.raises(TypingError) as caught:
        function(1.0)
    return str(caught.value).splitlines()[0]


def test_the_first_line_of_a_typing_error_names_the_step():
    assert "nopython frontend" in first_line_and_constraint()


class OwnError(Exception):
    pass


def refuse(x):
    raise NotImplementedError


@infer_global(refuse)
class RefusingTemplate(AbstractTemplate):
    def generic(self, args, kws):
        raise OwnError("refused")


def test_an_exception_while_typing_passes_the_line_being_typed():
    """retell._raised_at reads the local variable `constraint` of a frame of the traceback."""

    def calls(x):
        y = x + 1.0
        return refuse(y)  # the line to be found

    with pytest.raises(OwnError) as caught:
        numba.njit(calls)(1.0)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    found = [
        frame.f_locals["constraint"].loc
        for frame in frames
        if frame.f_code.co_name == "propagate" and "constraint" in frame.f_locals
    ]
    source, start = inspect.getsourcelines(calls)
    expected = start + next(i for i, line in enumerate(source) if "refuse(y)" in line)
    assert [loc.line for loc in found] == [expected], (
        "ConstraintNetwork.propagate has no `constraint`, which dualtape.twin.messages reads"
    )


def refuse_to_lower(context, builder, sig, args):
    raise OwnError("refused")


def not_lowered(x):
    raise NotImplementedError


@infer_global(not_lowered)
class LoweredTemplate(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], *args)


lower_builtin(not_lowered, numba.float64)(refuse_to_lower)


def test_an_exception_while_lowering_passes_the_line_being_lowered():
    """retell._raised_at reads the local variable `inst` of a frame of the traceback."""

    def calls(x):
        y = x + 1.0
        return not_lowered(y)  # the line to be found

    with pytest.raises(OwnError) as caught:
        numba.njit(calls)(1.0)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    found = [frame.f_locals["inst"].loc.line for frame in frames if "inst" in frame.f_locals]
    source, start = inspect.getsourcelines(calls)
    expected = start + next(i for i, line in enumerate(source) if "not_lowered(y)" in line)
    assert expected in found


# Arrays of comprehensions and stencils: aliasing, stencil


def test_np_array_of_a_comprehension_is_made_by_empty_inferred():
    func_ir = compiler.run_frontend(lambda x: np.array([v + 1.0 for v in x]))
    InlineClosureCallPass(func_ir, ParallelOptions(False), {}, True).run()
    names = [
        statement.value.value
        for block in func_ir.blocks.values()
        for statement in block.body
        if isinstance(getattr(statement, "value", None), ir.Global | ir.FreeVar)
    ]
    assert empty_inferred in names


def test_a_stencil_keeps_its_function_and_its_options():
    def kernel(u, w):
        return w[0] * u[-1]

    made = numba.stencil(cval=1.0, standard_indexing=("w",), neighborhood=((-1, 0),))(kernel)
    assert made.kernel_ir.func_id.func is kernel
    assert made.options["cval"] == 1.0
    assert made.options["standard_indexing"] == ("w",)
    assert made.neighborhood == ((-1, 0),)
    assert made.id != numba.stencil(kernel).id


# What is loaded when: loading


def test_every_pass_is_announced_under_the_compilers_lock():
    """Also of functions that no dispatcher compiles."""
    seen = []

    class Listener(event.Listener):
        def on_start(self, event):
            seen.append(global_compiler_lock.is_locked())

        def on_end(self, event):
            pass

    with event.install_listener("numba:run_pass", Listener()):
        for compiled in (numba.njit("float64(float64)"), numba.cfunc("float64(float64)")):
            compiled(add_one)
            assert seen
            assert all(seen)
            seen.clear()
        numba.vectorize(["float64(float64)"])(add_one)
        assert seen
        assert all(seen)


def test_compiled_code_is_written_as_nine_parts():
    function = numba.njit("float64(float64)")(add_one)
    [result] = function.overloads.values()
    parts = CompileResultCacheImpl.reduce(None, result)
    assert parts[1:3] == (result.fndesc, result.environment), (
        "dualtape.backend.cache_entry replaces it"
    )
    assert isinstance(parts[-1], tuple), (
        "dualtape.backend.cache_entry replaces the environments in it"
    )
    names = list(inspect.signature(CompileResult._rebuild).parameters)
    assert names == [
        "target_context", "libdata", "fndesc", "env", "signature", "objectmode", "lifted",
        "typeann", "reload_init", "referenced_envs",
    ]  # fmt: skip
    assert len(parts) == len(names) - 1
    assert_has(result.library, ["_final_module"], "backend.cache_entry")


def test_an_environment_is_made_of_globals_and_kept_by_name():
    made = Environment({"__name__": "somewhere"})
    made.consts[:] = [1, "two"]
    made.env_name = "name"
    _, parts = made.__reduce__()
    assert parts == ("somewhere", [1, "two"], "name"), "dualtape.backend.cache_entry restores these"
    assert_has(Environment, ["_memo"], "backend.cache_entry")


def test_the_runtime_is_initialised_by_itself():
    assert_parameters(rtsys.initialize, ["ctx"], "backend.disk_cache")
    assert_has(
        cpu_target.target_context.codegen()._engine, ["is_symbol_defined"], "backend.cache_entry"
    )


def test_both_contexts_are_refreshed_by_a_method_of_their_base():
    """Signals are held meanwhile, see dualtape.backend.interrupts."""
    for context in (cpu_target.target_context, cpu_target.typing_context):
        [defining] = [cls for cls in type(context).__mro__ if "refresh" in vars(cls)]
        assert defining in (BaseContext, typing.context.BaseContext)
        assert_parameters(defining.refresh, ["self"], "backend.interrupts")


def test_results_become_python_objects_by_a_table():
    assert boxing.box_tuple, "its import fills the table"
    for cls in (types.Array, types.Tuple, types.UniTuple, types.NamedTuple, types.NamedUniTuple):
        assert cls in _boxers.functions, "dualtape.backend.boxing replaces it"
    assert_has(PythonAPI, ["_get_function", "tuple_new", "tuple_setitem", "call"], "backend.boxing")
    assert_has(EnvironmentManager, ["add_const", "read_const"], "backend.boxing")


def test_what_the_type_of_an_argument_raises_is_dropped_by_c_code():
    """As it is for arguments without a type: ``_compile_for_args`` is called all the same."""

    class Asking(CPUDispatcher):
        def typeof_pyval(self, val):
            raise KeyboardInterrupt

        def _compile_for_args(self, *args, **kws):
            return lambda *args: "compiled"

    assert Asking(add_one)(Unknown()) == "compiled", "dualtape.drivers.dispatcher raises it there"


class Unknown:
    pass


# What is kept on disk: diskcache, store, apart, and names of functions: linking


def test_numba_loads_nothing_where_reading_raises_an_os_error(tmp_path):
    """So a kernel that is missing makes an entry of a user's cache a miss."""
    file = IndexDataCacheFile(str(tmp_path), "name", "stamp")
    file.save("key", "data")
    assert file.load("key") == "data"
    file.save("key", _Unreadable())
    assert file.load("key") is None


class _Unreadable:
    def __reduce__(self):
        return _raise_os_error, ()


def _raise_os_error():
    raise OSError


def test_wrappers_are_rebuilt_from_object_code_and_bitcode():
    assert_parameters(CodeLibraryCacheImpl.reduce, ["self", "codelib"], "backend.kernel_store")
    assert_parameters(
        inspect.unwrap(CodeLibraryCacheImpl.rebuild), ["self", "target_context", "payload"], "store"
    )
    function = numba.njit("float64(float64)")(add_one)
    [result] = function.overloads.values()
    _, kind, data = CodeLibraryCacheImpl.reduce(None, result.library)
    assert kind == "object"
    assert [type(part) for part in data] == [bytes, bytes]


def test_a_cache_is_what_a_dispatcher_asks_for_code():
    asked = []

    class Cache(NullCache):
        def load_overload(self, sig, target_context):
            asked.append(("load", sig))

        def save_overload(self, sig, cres):
            asked.append(("save", sig, cres.library.has_dynamic_globals, cres.lifted))

    function = numba.njit(add_one)
    function._cache = Cache()
    assert function(1.0) == 2.0
    sig = (types.float64,)
    assert asked == [("load", sig), ("save", sig, False, ())]


def test_functions_are_named_by_their_number():
    identity = FunctionIdentity.from_function(add_one)
    assert identity.unique_name == f"{identity.func_qualname}${identity.unique_id}"
    assert_parameters(CompilerBase._compile_bytecode, ["self"], "backend.linking")


def test_overloads_take_their_compiler_from_a_method():
    assert_parameters(_OverloadFunctionTemplate._get_jit_decorator, ["self"], "backend.jit")
    assert_parameters(
        make_overload_template,
        ["func", "overload_func", "jit_options", "strict", "inline", "prefer_literal", "kwargs"],
        "_jit",
    )
    seen = []

    def stub(x):
        raise NotImplementedError

    @numba.extending.overload(stub)
    def choose(x):
        flags = ConfigStack.top_or_none()
        seen.append((bool(flags.fastmath), str(flags.error_model)))
        return lambda x: x

    @numba.njit(error_model="numpy", fastmath=True)
    def caller(x):
        return stub(x) + 1.0

    assert caller(1.0) == 2.0
    assert seen[0] == (True, "numpy"), "callees inherit these"


def test_machine_code_enters_the_engine_as_an_object_file():
    engine = cpu_target.target_context.codegen()._engine
    assert_has(engine, ["_ee", "_defined_symbols"], "backend.kernel_store")
    assert_has(engine._ee, ["add_object_file"], "backend.kernel_store")
    assert_has(JITCodeLibrary, ["_optimize_final_module"], "backend.standalone")
