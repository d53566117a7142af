"""What leaves: the outbox, the lane that drains it inside the number's budget, and the floor.

Every message of a number goes through ``service.submit``, whoever wants it sent. What arrives lives in ``mirror``.
"""
