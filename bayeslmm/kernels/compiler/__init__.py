"""How kernels are compiled, kept on disk, and found again: no kernel stands here.

- ``jit``: the decorators, and the fingerprint of compiled files
- ``inner_compiler``: functions compiled once, inside their callers
- ``guard``: caches that may be damaged, calls that may be interrupted
- ``helper``: a second process that compiles
- ``compile_ahead``: what it compiles
"""
