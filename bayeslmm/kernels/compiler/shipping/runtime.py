"""What compiled code expects of a process without Numba: memory, LAPACK, one test of arrays."""

from __future__ import annotations

from typing import Any

from bayeslmm.kernels.compiler.jit import c_function, carray
from bayeslmm.kernels.compiler.library import RELEASE, TABLE_OF_ROUTINES
from bayeslmm.kernels.compiler.routines import ROUTINES, symbol_of

# Numba's record of a piece of memory: references, destructor and its argument, address, size,
# allocator. Only the first and the fourth are read.
_MEMORY = f"""
declare ptr @malloc(i64)
declare void @free(ptr)

define ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 %align) {{
  %step = zext i32 %align to i64
  %extra = add i64 %step, 48
  %total = add i64 %size, %extra
  %record = call ptr @malloc(i64 %total)
  %there = icmp ne ptr %record, null
  br i1 %there, label %fill, label %give

fill:
  %start = ptrtoint ptr %record to i64
  %first = add i64 %start, %extra
  %over = urem i64 %first, %step
  %whole = sub i64 %first, %over
  %data = inttoptr i64 %whole to ptr
  call void @llvm.memset.p0.i64(ptr %record, i8 0, i64 48, i1 false)
  store i64 1, ptr %record
  %third = getelementptr i8, ptr %record, i64 24
  store ptr %data, ptr %third
  %fourth = getelementptr i8, ptr %record, i64 32
  store i64 %size, ptr %fourth
  br label %give

give:
  ret ptr %record
}}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define void @NRT_MemInfo_call_dtor(ptr %record) {{
  call void @free(ptr %record)
  ret void
}}

define void @{RELEASE}(i64 %address) {{
  %record = inttoptr i64 %address to ptr
  %before = atomicrmw sub ptr %record, i64 1 acq_rel
  %last = icmp eq i64 %before, 1
  br i1 %last, label %drop, label %end

drop:
  call void @free(ptr %record)
  br label %end

end:
  ret void
}}
"""


@c_function("numba_attempt_nocopy_reshape", "i q q* q* q q* q* q i")
def reshape_c(
    ndim: int, shape_: Any, strides_: Any, new_ndim: int, new_shape_: Any, new_strides_: Any,
    itemsize: int, _is_fortran: int,
) -> int:  # fmt: skip
    """Fill the strides of another shape of an array; zero where the array is not contiguous."""
    shape, strides = carray(shape_, (ndim,)), carray(strides_, (ndim,))
    new_shape, new_strides = carray(new_shape_, (new_ndim,)), carray(new_strides_, (new_ndim,))
    step = itemsize
    for axis in range(ndim - 1, -1, -1):
        if shape[axis] != 1 and strides[axis] != step:
            return 0
        step *= shape[axis]
    step = itemsize
    for axis in range(new_ndim - 1, -1, -1):
        new_strides[axis] = step
        step *= new_shape[axis]
    return 1


def assembly() -> str:
    """Return the LLVM code of memory, and of routines that are called by a table of addresses."""
    count = len(ROUTINES)
    lines = [
        _MEMORY,
        f"@routines = internal global [{count} x ptr] zeroinitializer",
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        f"define void @{TABLE_OF_ROUTINES}(ptr %table) {{",
        f"  call void @llvm.memcpy.p0.p0.i64(ptr @routines, ptr %table, i64 {8 * count}, i1 false)",
        "  ret void",
        "}",
    ]
    for at, (routine, (_, arguments)) in enumerate(ROUTINES.items()):
        taken = ", ".join(f"ptr %a{k}" for k in range(arguments))
        lines += [
            f"define void @{symbol_of(routine)}({taken}) {{",
            f"  %place = getelementptr [{count} x ptr], ptr @routines, i64 0, i64 {at}",
            "  %address = load ptr, ptr %place",
            f"  tail call void %address({taken})",
            "  ret void",
            "}",
        ]
    return "\n".join(lines)
