"""Message templates of a WABA: written, reviewed, paused, and filled in for one person."""
