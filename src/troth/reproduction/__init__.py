"""Experiments of the papers, run again: what a paper says beside what was measured here.

Modules, from the ground up: `spec` (the tables of an experiment's file), `loading` (from the file
to scenarios that can be run), `readings` (numbers read off a finished run), `runs` (every variant
as an ordinary run folder), `results` (all of it together), `plots`, `reproduce` (the whole way).
"""
