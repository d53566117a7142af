"""The wire to Meta: what goes over it, what comes back, and nothing that decides.

`graph` calls, `webhooks` reads what arrives, `signature` proves that it is Meta's, `signup` understands the
popup. What an answer means is decided in `rules`; what is done about it, in the features. Whatever odd
shapes Meta sends, only typed frozen values leave this folder.
"""
