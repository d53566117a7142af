"""Small general parts that know nothing of WhatsApp: clock, vault, files, locks, logging.

What a feature would have to explain to a stranger doesn't belong here.
"""
