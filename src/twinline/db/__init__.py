"""PostgreSQL: the pool, the embedded server, the migrations.

SQL of a feature stands in that feature's ``queries``, not here.
"""

from twinline.db.engine import Database, Tx, as_json

__all__ = ["Database", "Tx", "as_json"]
