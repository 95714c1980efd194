"""Families that are made of another one, or of functions.

- ``censored``: families of which some responses are known to lie in an interval alone
- ``custom``: a family of the user's own
"""
