"""PostgreSQL: the pool, the embedded server, the migrations.

SQL of a feature stands in that feature's ``queries``, not here.
"""

from twinline.db.engine import Asked, Database, Tx, as_json

__all__ = ["Asked", "Database", "Tx", "as_json"]
