"""Numbers of either sign whose tails are not the normal's.

- ``student``: numbers with outlying rows
- ``skew_normal``: numbers with one tail longer than the other
"""
