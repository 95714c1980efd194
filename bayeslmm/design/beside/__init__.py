"""What is said of rows beside the columns of the formula.

- ``row_numbers``: weights, trials, standard errors and likelihood weights
- ``censoring``: which responses lie in an interval alone
"""
