"""The charter that all parties sign, and the scenario that simulates them.

A file goes through `loading`: read, inlined, overridden, spelt out, converted, and validated by the
rules under `rules`. What comes out is a `Scenario` that can be run, or one `CharterError`.
"""
