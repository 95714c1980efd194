"""How kernels are compiled, kept on disk, found again and shipped: no kernel stands here.

- ``jit``: the decorators; what they return compiles itself when that is needed
- ``sources``: fingerprints of sources, and names that change with them
- ``library``: machine code that came with the package
- ``levels``: extensions of processors of which some of it is built
- ``words``: how it is called
- ``routines``: where SciPy keeps BLAS and LAPACK
- ``shipping/``: how that machine code is made
- ``dispatchers``: Numba's side of the decorators, imported when something is compiled
- ``intrinsics``: single instructions
- ``inner_compiler``: functions compiled once, inside their callers
- ``guard``: caches that may be damaged, calls that may be interrupted
- ``helper``: a second process that compiles
- ``compile_ahead``: what it compiles
"""
