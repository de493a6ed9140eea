"""Items of named tuples by name: ``p["alpha"]`` is ``p.alpha``, as in a record.

Numba internals used (seen in 0.66 to 0.68): templates for "static_getitem".
"""

from __future__ import annotations

from typing import Any

from numba.core import imputils, types
from numba.core.errors import NumbaKeyError
from numba.core.typing.templates import AbstractTemplate, infer, signature
from numba.extending import lower_builtin


@infer
class _ItemByName(AbstractTemplate):
    key = "static_getitem"

    def generic(self, args: Any, kws: Any) -> Any:
        items, name = args
        if not isinstance(items, types.BaseNamedTuple) or not isinstance(name, str):
            return None
        if name not in items.fields:
            raise NumbaKeyError(f"{name!r} is none of the fields {', '.join(items.fields)}.")
        return signature(items.types[items.fields.index(name)], *args)


@lower_builtin("static_getitem", types.BaseNamedTuple, types.StringLiteral)
def _item_by_name(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    items, name = args
    value = builder.extract_value(items, sig.args[0].fields.index(name))
    return imputils.impl_ret_borrowed(context, builder, sig.return_type, value)
