"""What the rank of X says.

- ``identifiability``: rank of X, levels, distinct columns
- ``dependence``: how dropped columns follow from those that stayed
- ``estimable``: which rows' expected values a design of lower rank determines
"""
