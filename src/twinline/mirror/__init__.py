"""The mirror: webhook -> batch -> fold -> rows. Both places of a number in one history.

Here live the hook, the ingest and what follows from it (history, media, live events). What is sent lives in
``sending``; what a person sees lives in ``inbox``.
"""
