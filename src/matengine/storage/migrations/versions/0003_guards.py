"""Guards: sealed epochs refuse to be changed, whoever writes.

An epoch is open until it is sealed; sealed, it is kept until it is marked as collected. These
triggers let the open epoch be written and nothing else:

- history tables: rows come with the open epoch, are closed or reopened by it, and go with it;
  row versions that no kept epoch shows may go too;
- the catalogue: a sealed epoch, what is said of its tables, and the versions that name it.

`matengine.guard` puts them on a history table. A superuser who asks for it (ALTER TABLE, or
session_replication_role) is not stopped; verifying a version finds what such a one has done.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

CATALOGUE = """
-- set when row versions are removed that only this epoch showed: it cannot be read any more
ALTER TABLE matengine.epoch ADD COLUMN collected timestamptz;
CREATE UNIQUE INDEX epoch_one_open ON matengine.epoch (datastack) WHERE sealed IS NULL;

CREATE FUNCTION matengine.refuse(why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', why USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;

CREATE FUNCTION matengine.guard_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matengine.refuse(format('%s of %I.%I is refused: %s',
    TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]));
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.guard_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF EXISTS (SELECT FROM matengine.epoch AS e WHERE e.datastack = NEW.datastack
               AND e.sealed IS NOT NULL AND (e.epoch >= NEW.epoch OR e.time >= NEW.time)) THEN
      PERFORM matengine.refuse(format('epoch %s of %s is not later than the sealed ones',
        NEW.epoch, NEW.datastack));
    END IF;
  ELSIF OLD.sealed IS NULL THEN
    NULL;
  ELSIF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT FROM matengine.datastack WHERE name = OLD.datastack) THEN
      PERFORM matengine.refuse(format('epoch %s of %s is sealed', OLD.epoch, OLD.datastack));
    END IF;
    RETURN OLD;
  ELSIF (NEW.datastack, NEW.epoch, NEW.time, NEW.sealed)
        IS DISTINCT FROM (OLD.datastack, OLD.epoch, OLD.time, OLD.sealed)
        OR OLD.collected IS NOT NULL THEN
    PERFORM matengine.refuse(format('epoch %s of %s is sealed', OLD.epoch, OLD.datastack));
  ELSIF NEW.collected IS NOT NULL THEN
    IF EXISTS (SELECT FROM matengine.version AS v WHERE v.datastack = OLD.datastack
               AND v.epoch = OLD.epoch AND v.status NOT IN ('FAILED', 'EXPIRED'))
       OR NOT EXISTS (SELECT FROM matengine.epoch AS e WHERE e.datastack = OLD.datastack
                      AND e.epoch > OLD.epoch AND e.sealed IS NOT NULL) THEN
      PERFORM matengine.refuse(format(
        'epoch %s of %s is kept: it is the newest, or a version names it',
        OLD.epoch, OLD.datastack));
    END IF;
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION matengine.guard_epoch_table() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told matengine.epoch_table := CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
BEGIN
  IF EXISTS (SELECT FROM matengine.epoch AS e WHERE e.datastack = told.datastack
             AND e.epoch = told.epoch AND e.sealed IS NOT NULL)
     OR TG_OP = 'UPDATE'
        AND (NEW.datastack, NEW.epoch) IS DISTINCT FROM (OLD.datastack, OLD.epoch) THEN
    PERFORM matengine.refuse(format('epoch %s of %s is sealed', told.epoch, told.datastack));
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION matengine.guard_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  stays boolean := EXISTS (SELECT FROM matengine.epoch AS e WHERE e.datastack = OLD.datastack
    AND e.epoch = OLD.epoch AND e.sealed IS NOT NULL AND e.collected IS NULL);
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.status IN ('AVAILABLE', 'EXPIRED')
       AND EXISTS (SELECT FROM matengine.datastack WHERE name = OLD.datastack) THEN
      PERFORM matengine.refuse(format('version %s of %s is sealed', OLD.version, OLD.datastack));
    END IF;
    RETURN OLD;
  END IF;
  IF (NEW.datastack, NEW.version, NEW.epoch, NEW.created)
     IS DISTINCT FROM (OLD.datastack, OLD.version, OLD.epoch, OLD.created) THEN
    PERFORM matengine.refuse(format('version %s of %s is sealed', OLD.version, OLD.datastack));
  END IF;
  IF NEW.status <> OLD.status AND NOT (CASE OLD.status || ' ' || NEW.status
       WHEN 'RUNNING AVAILABLE' THEN stays
       WHEN 'RUNNING FAILED' THEN NOT stays
       WHEN 'AVAILABLE EXPIRED' THEN NOT NEW.pinned
       WHEN 'EXPIRED AVAILABLE' THEN stays
       ELSE false END) THEN
    PERFORM matengine.refuse(format('version %s of %s cannot become %s: it is %s%s',
      OLD.version, OLD.datastack, NEW.status, OLD.status,
      CASE WHEN NEW.pinned THEN ' and pinned' ELSE '' END));
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON matengine.epoch
  FOR EACH ROW EXECUTE FUNCTION matengine.guard_epoch();
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON matengine.epoch_table
  FOR EACH ROW EXECUTE FUNCTION matengine.guard_epoch_table();
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON matengine.version
  FOR EACH ROW EXECUTE FUNCTION matengine.guard_version();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.epoch
  EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.epoch_table
  EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.version
  EXECUTE FUNCTION matengine.guard_refuse('it holds versions');
"""

# Statement triggers: the rows of a statement are judged together, in one pass.
HISTORY = """
CREATE FUNCTION matengine.open_epoch(of_segmentation text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  found integer;
BEGIN
  -- Shared, so that units write side by side; but sealing the epoch waits for all who wrote in it,
  -- and whoever comes later finds it sealed.
  SELECT e.epoch INTO found
  FROM matengine.datastack AS d JOIN matengine.epoch AS e ON e.datastack = d.name
  WHERE d.segmentation = of_segmentation AND e.sealed IS NULL
  FOR SHARE OF e;
  RETURN found;
END $$;

CREATE FUNCTION matengine.refuse_row(relation text, row_id bigint, why text) RETURNS void
LANGUAGE sql AS $$
  SELECT matengine.refuse(format('history.%I: row %s %s', relation, row_id, why));
$$;

CREATE FUNCTION matengine.guard_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  writing integer := matengine.open_epoch(TG_ARGV[0]);
  bad record;
BEGIN
  SELECT id, from_epoch, to_epoch INTO bad FROM new_rows
  WHERE from_epoch IS DISTINCT FROM writing OR to_epoch < from_epoch LIMIT 1;
  IF FOUND THEN
    PERFORM matengine.refuse_row(TG_TABLE_NAME, bad.id, format(
      'begins in epoch %s and ends in %s, but %s is open', bad.from_epoch, bad.to_epoch,
      coalesce('only epoch ' || writing, 'no epoch')));
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.guard_close() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  writing integer := matengine.open_epoch(TG_ARGV[0]);
  bad record;
BEGIN
  SELECT id, to_epoch INTO bad
  FROM (SELECT id, to_epoch FROM old_rows UNION ALL SELECT id, to_epoch FROM new_rows) AS ends
  WHERE writing IS NULL OR to_epoch NOT IN (writing, 2147483647) LIMIT 1;
  IF FOUND THEN
    PERFORM matengine.refuse_row(TG_TABLE_NAME, bad.id, format(
      'ends in epoch %s, but %s is open', bad.to_epoch,
      coalesce('only epoch ' || writing, 'no epoch')));
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  writing integer := matengine.open_epoch(TG_ARGV[0]);
  bad record;
BEGIN
  -- a tombstone (from_epoch = to_epoch) tells later epochs from those before it
  SELECT o.id, e.epoch INTO bad
  FROM old_rows AS o
  JOIN matengine.datastack AS d ON d.segmentation = TG_ARGV[0]
  JOIN matengine.epoch AS e ON e.datastack = d.name
    AND e.sealed IS NOT NULL AND e.collected IS NULL
    AND (o.from_epoch <= e.epoch AND o.to_epoch > e.epoch
         OR o.from_epoch = o.to_epoch AND e.epoch < o.from_epoch)
  WHERE o.from_epoch IS DISTINCT FROM writing LIMIT 1;
  IF FOUND THEN
    PERFORM matengine.refuse_row(TG_TABLE_NAME, bad.id,
      format('is part of epoch %s, which is sealed and kept', bad.epoch));
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.guard(history regclass, segmentation text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  fixed text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                 WHERE attrelid = history AND attnum > 0 AND NOT attisdropped
                   AND attname <> 'to_epoch');
BEGIN
  EXECUTE format($sql$
    CREATE TRIGGER guard_insert AFTER INSERT ON %1$s REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_insert(%2$L);
    CREATE TRIGGER guard_columns BEFORE UPDATE OF %3$s ON %1$s
      EXECUTE FUNCTION matengine.guard_refuse('only to_epoch of a row version changes');
    CREATE TRIGGER guard_close AFTER UPDATE ON %1$s
      REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_close(%2$L);
    CREATE TRIGGER guard_delete AFTER DELETE ON %1$s REFERENCING OLD TABLE AS old_rows
      FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_delete(%2$L);
    CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON %1$s
      EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
    $sql$, history, segmentation, fixed);
END $$;
"""


def upgrade() -> None:
    op.execute(CATALOGUE.replace(":", "\\:"))
    op.execute(HISTORY.replace(":", "\\:"))
