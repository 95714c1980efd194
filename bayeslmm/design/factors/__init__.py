"""What a grouping factor's term says of its levels, beside which columns vary over them.

- ``arms``: `Arms`: ``gr(g, by=arm)``, columns and a covariance for the levels of each arm
- ``columns``: `FactorColumns`: the columns of all terms of one factor
"""
