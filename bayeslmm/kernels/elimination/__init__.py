"""Block elimination of I + Lambda' Z'Z Lambda, and what is solved, differentiated and drawn by it.

- ``eliminate``: block elimination, factor by factor
- ``solve``: back-substitution and selected inverse
- ``gradient``: gradient in every entry of Lambda
- ``factorization``: factorization and gradient as two C functions
- ``draws``: conditional moments and exact joint draws of the effects
"""
