"""Campaigns: templates to many people, planned before they run, and never twice to anybody.

``service`` has every change; ``running`` is the engine; ``audience`` finds out who gets it, ``planning`` makes the dry
run. Sending itself is the outbox's: here is only who is put there, and when.
"""
