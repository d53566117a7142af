"""Outgoing webhooks: what happens is told to other programs, in order, as often as it takes.

Who is told what is here, and how; what happened is in the events of each number (``mirror.events``).
"""
