"""Grouping factors from rows, with what their terms say of levels and columns.

- ``arms``: `Arms`: ``gr(g, by=arm)``, columns and a covariance for the levels of each arm
- ``columns``: `FactorColumns`: the columns of all terms of one factor
- ``structured_columns``: columns of terms whose covariance has a structure
- ``memberships``: rows that have several levels of one factor
- ``visit_order``: which structures go by the order of visits, and whether a column tells it
- ``gather``: `GroupingFactor` of all terms of each factor
"""
