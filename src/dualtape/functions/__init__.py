"""Users' functions: what they reach, which of it may change, and the results derived from them.

Read `libraries` (which functions are known), `reach` (globals, closures and helpers of a function),
`cells` (where compiled code reads a name that may be rebound), `snapshots` (the values that an njit
function was compiled with), `fingerprint` (a digest of all of it), `memo` (results cached on a
function), `objects` with `partial`, `interpolants`, `parameters` and `copies` (methods, splines and
others made ordinary functions), `records` (made named tuples), and `pickling`.
"""

OPEN: dict[str, str] = {
    "cells": "CELLS Cell FIXED SMALL",
    "copies": "copy_function owner_of",
    "fingerprint": "fingerprint",
    "interpolants": "INTERPOLATED interpolant_of shape_of",
    "libraries": "APPLIED_TRANSFORMS CUSTOM_RULES STATIC_TRANSFORMS is_library is_package_file "
    "warn_user",
    "memo": "CollectableDispatcher Memory current is_living is_plain memory_of remembered "
    "source_of",
    "objects": "Members is_jitclass is_object is_property members_of plain_function",
    "parameters": "positional taking",
    "pickling": "Traveler sent_as",
    "reach": "bindings factors_matrices",
    "records": "TABLES as_tuple is_record with_records",
    "snapshots": "as_compiled",
}
"""What other packages may use: names, by module."""
