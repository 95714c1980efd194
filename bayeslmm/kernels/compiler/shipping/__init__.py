"""Machine code for those who install a wheel, made of Numba's code before it is optimised.

- ``interface``: which kernels are in it, and for which arguments
- ``modules``: their LLVM code, each behind a function with C's calling convention
- ``runtime``: what that code expects of a process without Numba
- ``build``: all of it optimised, as one library with a table of its functions
"""
