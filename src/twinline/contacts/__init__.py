"""Whom the organisation knows: tags, fields and segments, and whether somebody may be sent marketing.

Who a contact *is*, the mirror knows (``mirror.people``); how messages leave, ``sending``. This feature stands between:
it adds what people here know, and answers the question that ``sending`` asks before every marketing message.
"""
