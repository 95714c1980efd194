"""Responses that are mixtures: with zeros or ones of their own, or a probability of each row's.

- ``with_zeros``: a zero with some probability, otherwise another family's response
- ``zero_inflated``: counts, successes and proportions with more zeros than their family has
- ``truncated``: counts that are never zero
- ``hurdle``: zeros, and what is beyond them
- ``beta_binomial``: successes that scatter more than a binomial's
- ``by_rows``: draws that take random numbers of several kinds
- ``zero_one``: proportions of which some are exactly 0 or 1
"""
