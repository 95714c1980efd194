"""Exact draws of nested, crossed and many-column effects of any response family.

- ``sample``: the method
- ``latent``: a model's rows and plan as compiled code reads them
- ``target``: Laplace's marginal posterior of theta
- ``proposal``: where theta's proposals come from, and how good Laplace's posterior is
- ``adaptation``: what a short warm-up adapts
- ``random_walk``: theta's second move
- ``chains``: chains in (theta, eps), side by side
"""
