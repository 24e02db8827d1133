"""Experiments of the papers, run again: what a paper says beside what was measured here.

Modules, from the ground up: `readings` and `curves` (what is read off a finished run), `offered`
(those that protocols add), `spec` (the tables of an experiment's file), `computing` (variants that
are no run), `loading` (from the file to what can be carried out), `runs` (every variant as a
folder), `results` (all of it together), `tables`, `plots`, `page`, `reproduce` (the whole way).
"""
