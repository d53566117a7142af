"""Decisions, and nothing else.

Every function here takes plain values and gives back plain values. There is no clock, no network, no
database and no randomness: whoever calls brings the time along. That is why each rule can be read on its
own, tested in a line, and trusted to give the same answer in the hook, in a job and in a page.

What Meta says (error codes, features, countries) lives beside the code as dated TOML with its source,
because it changes more often than the code does.

What doesn't belong here: anything that waits, anything that logs, anything that knows a table or a URL.
"""
