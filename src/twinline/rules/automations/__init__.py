"""Automations as values: what one says (`program`), when it begins (`triggers`), and what it does next (`run`).

Nothing here reads a clock, sends or keeps anything. The interpreter is handed what happened and what is known, and
answers with what is to be done and what it waits for; the same functions serve the engine, the editor's test panel and
the rehearsal on past chats.
"""
