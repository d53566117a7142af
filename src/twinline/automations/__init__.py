"""Automations: helpful where nobody is there, silent the moment a person speaks.

What one is (``schema``, ``rules.automations``), the conversations it has (``following`` notes what customers say,
``tending`` answers), what it asks outside (``outside``), and its pages. Who may speak in a chat is decided in
``sending.speech``; how a message goes out, in ``sending.service``.
"""
