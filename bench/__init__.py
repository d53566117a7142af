"""Measurements of the goals in docs/performance.md.

Machines differ and are noisy: every figure is set against a reference measured in the same run, in turns, and the
median counts. ``python -m bench`` runs all, ``python -m bench p1 p3`` some. Nothing here is a test.
"""
