"""Differential privacy: what bounds an update, what noise hides it, and what has been spent.

`clipping` bounds, `mechanisms` and `dp_sgd` add noise and say which event that was, `ledger` keeps
the events of one party, `accounting` says what they come to, `planning` asks it backwards.
`docs/privacy.md` says what is promised and what is not.
"""
