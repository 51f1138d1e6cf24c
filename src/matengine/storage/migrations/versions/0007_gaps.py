"""The gaps of each version, with what was known of them; failed lookups settled by publishing."""

from alembic import op
from sqlalchemy import text

from matengine.storage.names import paired

revision = "0007"
down_revision = "0006"

TABLES = """
-- The open epoch that has tried the lookup, or deleted its row. What came of that is told by
-- history when the epoch is published.
ALTER TABLE matengine.lookup_failure ADD COLUMN epoch integer;
CREATE INDEX lookup_failure_tried ON matengine.lookup_failure (datastack, table_name)
  WHERE epoch IS NOT NULL;

-- A point whose root history has as NULL, in the epochs from_epoch <= e < to_epoch, and why.
CREATE TABLE matengine.gap (
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  table_name text NOT NULL,
  id bigint NOT NULL,
  point text NOT NULL,
  from_epoch integer NOT NULL,
  to_epoch integer NOT NULL DEFAULT 2147483647,
  reason text NOT NULL,
  permanent boolean NOT NULL,
  attempts integer NOT NULL,
  as_of timestamptz NOT NULL,
  PRIMARY KEY (datastack, table_name, id, point, from_epoch));
"""

GUARD = """
CREATE FUNCTION matengine.guard_gap() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told matengine.gap := CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
  writing integer := (SELECT e.epoch FROM matengine.epoch AS e
                      WHERE e.datastack = told.datastack AND e.sealed IS NULL);
  fine boolean;
BEGIN
  IF TG_OP = 'INSERT' THEN
    fine := NEW.from_epoch = writing AND NEW.to_epoch = 2147483647;
  ELSIF TG_OP = 'UPDATE' THEN
    fine := OLD.to_epoch = 2147483647 AND NEW.to_epoch = writing AND OLD.from_epoch < writing
      AND (NEW.datastack, NEW.table_name, NEW.id, NEW.point, NEW.from_epoch, NEW.reason,
           NEW.permanent, NEW.attempts, NEW.as_of)
        = (OLD.datastack, OLD.table_name, OLD.id, OLD.point, OLD.from_epoch, OLD.reason,
           OLD.permanent, OLD.attempts, OLD.as_of);
  ELSE
    fine := NOT EXISTS (
      SELECT FROM matengine.epoch AS e JOIN matengine.epoch_table AS t USING (datastack, epoch)
      WHERE e.datastack = OLD.datastack AND t.table_name = OLD.table_name
      AND e.sealed IS NOT NULL AND e.collected IS NULL
      AND OLD.from_epoch <= e.epoch AND OLD.to_epoch > e.epoch);
  END IF;
  IF fine IS NOT TRUE THEN
    PERFORM matengine.refuse(format('the gap of row %s of %s at %s is part of a sealed epoch',
      told.id, told.table_name, told.point));
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON matengine.gap
  FOR EACH ROW EXECUTE FUNCTION matengine.guard_gap();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.gap
  EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
"""

WITH_GAPS = """
SELECT DISTINCT t.datastack, d.segmentation, t.table_name
FROM matengine.epoch_table AS t JOIN matengine.datastack AS d ON d.name = t.datastack
WHERE t.gaps > 0
"""
ROOT_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'history' AND table_name = :history AND column_name LIKE '%\\_root\\_id'
"""
# gaps of before are found where history has no root; of the reason only the latest is known
FILL = """
INSERT INTO matengine.gap
SELECT :datastack, :name, h.id, :point, h.from_epoch, h.to_epoch,
  coalesce(f.reason, 'the reason was not recorded'), coalesce(f.permanent, false),
  coalesce(f.attempts, 1), coalesce(f.as_of, e.time)
FROM history.{history} AS h
JOIN matengine.epoch AS e
  ON e.datastack = :datastack AND e.epoch = h.from_epoch AND e.sealed IS NOT NULL
LEFT JOIN matengine.lookup_failure AS f ON h.to_epoch = 2147483647
  AND f.datastack = :datastack AND f.table_name = :name AND f.id = h.id AND f.point = :point
WHERE h.{root} IS NULL AND h.from_epoch < h.to_epoch
"""
# Runs that were undone took the records of failures along that they had healed. A run that is being
# made has tried what bears its time.
MEND = """
INSERT INTO matengine.lookup_failure (datastack, table_name, id, point, reason, as_of, epoch)
SELECT g.datastack, g.table_name, g.id, g.point, g.reason, g.as_of, e.epoch
FROM matengine.gap AS g
LEFT JOIN matengine.epoch AS e ON e.datastack = g.datastack AND e.sealed IS NULL
WHERE g.to_epoch = 2147483647 OR g.to_epoch = e.epoch
ON CONFLICT DO NOTHING;
UPDATE matengine.gap AS g SET to_epoch = 2147483647
FROM matengine.epoch AS e
WHERE e.datastack = g.datastack AND e.sealed IS NULL AND g.to_epoch = e.epoch;
UPDATE matengine.lookup_failure AS f SET epoch = e.epoch
FROM matengine.epoch AS e
WHERE e.datastack = f.datastack AND e.sealed IS NULL AND f.as_of = e.time;
"""


def upgrade() -> None:
    op.execute(TABLES.replace(":", "\\:"))
    connection = op.get_bind()
    quote = connection.dialect.identifier_preparer.quote_identifier
    for datastack, segmentation, name in connection.execute(text(WITH_GAPS)).all():
        history = paired(name, segmentation)
        for (root,) in connection.execute(text(ROOT_COLUMNS), {"history": history}).all():
            connection.execute(
                text(FILL.format(history=quote(history), root=quote(root))),
                {
                    "datastack": datastack,
                    "name": name,
                    "point": root.removesuffix("_root_id") + "_position",
                },
            )
    op.execute(MEND)
    op.execute(GUARD.replace(":", "\\:"))
