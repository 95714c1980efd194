"""Waiting times: positive responses that are the time until something happens.

- ``weibull``: a hazard that rises or falls with time, or stays as it is
- ``inverse_gaussian``: first passages, with a long right tail
- ``shifted_lognormal``: a delay that none can fall below, and a lognormal rest
"""
