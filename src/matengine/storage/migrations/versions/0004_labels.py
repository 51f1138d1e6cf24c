"""Names of versions; what has been collected, so that it is neither read nor looked for again."""

from alembic import op

revision = "0004"
down_revision = "0003"

LABELS = """
-- what people call a version; it stays with the version when that expires, so that a name which
-- somebody cited never comes to mean another
ALTER TABLE matengine.version ADD COLUMN name text CHECK (name <> '');
CREATE UNIQUE INDEX version_name ON matengine.version (datastack, name);

-- Pairs of kept epochs between which nothing is left that neither of them shows. 0 is before all.
CREATE TABLE matengine.emptied (
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  after_epoch integer NOT NULL,
  before_epoch integer NOT NULL,
  PRIMARY KEY (datastack, after_epoch, before_epoch));
"""

# STABLE: it sees what the calling statement sees. An epoch is marked as collected, and that is
# committed, before its first row goes; so a statement that does not see the mark sees every row.
READABLE = """
CREATE FUNCTION matengine.readable(of_segmentation text, an_epoch integer) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  IF EXISTS (SELECT FROM matengine.datastack AS d JOIN matengine.epoch AS e ON e.datastack = d.name
             WHERE d.segmentation = of_segmentation AND e.epoch = an_epoch
               AND e.collected IS NOT NULL) THEN
    PERFORM matengine.refuse(format('epoch %s is not kept any more', an_epoch));
  END IF;
  RETURN true;
END $$;
"""

# A tombstone tells a diff that a row has gone since. Nobody asks once no row version is left that
# it ends, although older epochs be kept: they never showed the row.
GUARD_DELETE = """
CREATE OR REPLACE FUNCTION matengine.guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  writing integer := matengine.open_epoch(TG_ARGV[0]);
  bad record;
  ended bigint;
BEGIN
  SELECT o.id, e.epoch INTO bad
  FROM old_rows AS o
  JOIN matengine.datastack AS d ON d.segmentation = TG_ARGV[0]
  JOIN matengine.epoch AS e ON e.datastack = d.name
    AND e.sealed IS NOT NULL AND e.collected IS NULL
    AND o.from_epoch <= e.epoch AND o.to_epoch > e.epoch
  WHERE o.from_epoch IS DISTINCT FROM writing LIMIT 1;
  IF FOUND THEN
    PERFORM matengine.refuse_row(TG_TABLE_NAME, bad.id,
      format('is part of epoch %s, which is sealed and kept', bad.epoch));
  END IF;
  EXECUTE format($sql$
    SELECT o.id FROM old_rows AS o
    WHERE o.from_epoch = o.to_epoch AND o.from_epoch IS DISTINCT FROM $1
      AND EXISTS (SELECT FROM %s AS h WHERE h.id = o.id
                  AND h.from_epoch < h.to_epoch AND h.to_epoch <= o.from_epoch)
    LIMIT 1 $sql$, TG_RELID::regclass) INTO ended USING writing;
  IF ended IS NOT NULL THEN
    PERFORM matengine.refuse_row(TG_TABLE_NAME, ended,
      'is the mark that the row has gone, and an epoch before shows the row');
  END IF;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    for statement in (LABELS, READABLE, GUARD_DELETE):
        op.execute(statement.replace(":", "\\:"))
