"""Grouping factors from rows, with what their terms say of levels and columns.

- ``structured_columns``: columns of terms whose covariance has a structure
- ``memberships``: rows that have several levels of one factor
"""
