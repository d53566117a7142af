"""A number and its two places: connecting it, its first synchronisation, its life, and what is wrong with it.

``connect`` holds the flow from the owner's consent to the requested synchronisation, ``jobs`` runs it so that a
crash anywhere only delays it, ``lifecycle`` reads what Meta says afterwards, ``ledger`` shows the first
synchronisation, ``doctor`` looks for what is misconfigured. What comes in over the number lives in ``mirror``.
"""
