"""Questions to fits of several responses, or of categories, that are about all of them together.

What is about one of them is asked of `response_of`.

- ``response_of``: `response_of`: one of several responses, as a result of its own
- ``observations``: `Observations`: linear predictors and parameters of all responses of each row
- ``densities``: log-densities of rows, of all their responses together
- ``replicates``: responses drawn from the posterior predictive distribution, together
- ``probabilities``: `category_probabilities`: how probable each category is
"""
