CREATE SCHEMA ds_aged000000__mat1;
CREATE SCHEMA ds_aged000000__mat2;
CREATE SCHEMA ds_aged000000__mat3;
CREATE SCHEMA graph_ds_aged000000;
CREATE SCHEMA history;
CREATE SCHEMA matengine;
CREATE SCHEMA staging;
CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;
CREATE TYPE public.permission AS ENUM (
    'PRIVATE',
    'GROUP',
    'PUBLIC'
);
CREATE FUNCTION matengine.enqueue(target text, what text, ids bigint[], dues timestamp with time zone[]) RETURNS void
    LANGUAGE sql
    AS $$
  INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
  SELECT d.name, target, what, r.first_id, r.last_id, r.due
  FROM (SELECT min(id) AS first_id, max(id) AS last_id, min(due) AS due
        FROM (SELECT id, due, id - row_number() OVER (ORDER BY id) AS run
              FROM unnest(ids, dues) AS u(id, due)) AS numbered
        GROUP BY run) AS r
  CROSS JOIN matengine.datastack AS d;
$$;
CREATE FUNCTION matengine.guard(history regclass, segmentation text) RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
END $_$;
CREATE FUNCTION matengine.guard_close() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION matengine.guard_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
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
END $_$;
CREATE FUNCTION matengine.guard_epoch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION matengine.guard_epoch_table() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION matengine.guard_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION matengine.guard_refuse() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM matengine.refuse(format('%s of %I.%I is refused: %s',
    TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]));
  RETURN NULL;
END $$;
CREATE FUNCTION matengine.guard_version() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION matengine.note_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(id), array_agg(clock_timestamp()))
  FROM old_rows HAVING count(*) > 0;
  RETURN NULL;
END $$;
CREATE FUNCTION matengine.note_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'insert', array_agg(id), array_agg(created))
  FROM new_rows HAVING count(*) > 0;
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(id), array_agg(deleted))
  FROM new_rows WHERE deleted IS NOT NULL HAVING count(*) > 0;
  RETURN NULL;
END $$;
CREATE FUNCTION matengine.note_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
  smallest bigint;
  largest bigint;
BEGIN
  EXECUTE format('SELECT min(id), max(id) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)
    INTO smallest, largest;
  -- one run of all ids: the epoch that takes it up closes those that are not there any more
  INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
  SELECT name, TG_TABLE_NAME, 'delete', smallest, largest, clock_timestamp()
  FROM matengine.datastack WHERE smallest IS NOT NULL;
  RETURN NULL;
END $$;
CREATE FUNCTION matengine.note_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(n.id), array_agg(n.deleted))
  FROM new_rows AS n JOIN old_rows AS o USING (id)
  WHERE n.deleted IS NOT NULL AND n.deleted IS DISTINCT FROM o.deleted HAVING count(*) > 0;
  RETURN NULL;
END $$;
CREATE FUNCTION matengine.note_writer() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  -- Shared: writers never wait for each other. An epoch lists the holders and waits for them.
  PERFORM pg_advisory_xact_lock_shared(1835103329, 0);
  RETURN NULL;
END $$;
CREATE FUNCTION matengine.open_epoch(of_segmentation text) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION matengine.readable(of_segmentation text, an_epoch integer) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
BEGIN
  IF EXISTS (SELECT FROM matengine.datastack AS d JOIN matengine.epoch AS e ON e.datastack = d.name
             WHERE d.segmentation = of_segmentation AND e.epoch = an_epoch
               AND e.collected IS NOT NULL) THEN
    PERFORM matengine.refuse(format('epoch %s is not kept any more', an_epoch));
  END IF;
  RETURN true;
END $$;
CREATE FUNCTION matengine.refuse(why text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION '%', why USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
CREATE FUNCTION matengine.refuse_row(relation text, row_id bigint, why text) RETURNS void
    LANGUAGE sql
    AS $$
  SELECT matengine.refuse(format('history.%I: row %s %s', relation, row_id, why));
$$;
CREATE TABLE history.note_ds_aged000000__ds_aged000000 (
    id bigint NOT NULL,
    created timestamp with time zone NOT NULL,
    from_epoch integer NOT NULL,
    to_epoch integer DEFAULT 2147483647 NOT NULL,
    target_id bigint
)
WITH (fillfactor='90');
CREATE VIEW ds_aged000000__mat1.note_ds_aged000000 AS
 SELECT h.id,
    h.created,
    h.target_id
   FROM history.note_ds_aged000000__ds_aged000000 h
  WHERE ((h.from_epoch <= 1) AND (h.to_epoch > 1));
CREATE TABLE history.spare__ds_aged000000 (
    id bigint NOT NULL,
    created timestamp with time zone NOT NULL,
    from_epoch integer NOT NULL,
    to_epoch integer DEFAULT 2147483647 NOT NULL,
    pre_pt_position public.geometry(PointZ),
    pre_pt_supervoxel_id bigint,
    pre_pt_root_id bigint,
    post_pt_position public.geometry(PointZ),
    post_pt_supervoxel_id bigint,
    post_pt_root_id bigint,
    ctr_pt_position public.geometry(PointZ),
    size double precision
)
WITH (fillfactor='90');
CREATE VIEW ds_aged000000__mat1.spare AS
 SELECT h.id,
    h.created,
    h.pre_pt_position,
    h.pre_pt_supervoxel_id,
    h.pre_pt_root_id,
    h.post_pt_position,
    h.post_pt_supervoxel_id,
    h.post_pt_root_id,
    h.ctr_pt_position,
    h.size
   FROM history.spare__ds_aged000000 h
  WHERE ((h.from_epoch <= 1) AND (h.to_epoch > 1));
CREATE TABLE history.syn_ds_aged000000__ds_aged000000 (
    id bigint NOT NULL,
    created timestamp with time zone NOT NULL,
    from_epoch integer NOT NULL,
    to_epoch integer DEFAULT 2147483647 NOT NULL,
    pre_pt_position public.geometry(PointZ),
    pre_pt_supervoxel_id bigint,
    pre_pt_root_id bigint,
    post_pt_position public.geometry(PointZ),
    post_pt_supervoxel_id bigint,
    post_pt_root_id bigint,
    ctr_pt_position public.geometry(PointZ),
    size double precision
)
WITH (fillfactor='90');
CREATE VIEW ds_aged000000__mat1.syn_ds_aged000000 AS
 SELECT h.id,
    h.created,
    h.pre_pt_position,
    h.pre_pt_supervoxel_id,
    h.pre_pt_root_id,
    h.post_pt_position,
    h.post_pt_supervoxel_id,
    h.post_pt_root_id,
    h.ctr_pt_position,
    h.size
   FROM history.syn_ds_aged000000__ds_aged000000 h
  WHERE ((h.from_epoch <= 1) AND (h.to_epoch > 1));
CREATE VIEW ds_aged000000__mat2.note_ds_aged000000 AS
 SELECT h.id,
    h.created,
    h.target_id
   FROM history.note_ds_aged000000__ds_aged000000 h
  WHERE ((h.from_epoch <= 2) AND (h.to_epoch > 2));
CREATE VIEW ds_aged000000__mat2.spare AS
 SELECT h.id,
    h.created,
    h.pre_pt_position,
    h.pre_pt_supervoxel_id,
    h.pre_pt_root_id,
    h.post_pt_position,
    h.post_pt_supervoxel_id,
    h.post_pt_root_id,
    h.ctr_pt_position,
    h.size
   FROM history.spare__ds_aged000000 h
  WHERE ((h.from_epoch <= 2) AND (h.to_epoch > 2));
CREATE VIEW ds_aged000000__mat2.syn_ds_aged000000 AS
 SELECT h.id,
    h.created,
    h.pre_pt_position,
    h.pre_pt_supervoxel_id,
    h.pre_pt_root_id,
    h.post_pt_position,
    h.post_pt_supervoxel_id,
    h.post_pt_root_id,
    h.ctr_pt_position,
    h.size
   FROM history.syn_ds_aged000000__ds_aged000000 h
  WHERE ((h.from_epoch <= 2) AND (h.to_epoch > 2));
CREATE VIEW ds_aged000000__mat3.note_ds_aged000000 AS
 SELECT h.id,
    h.created,
    h.target_id
   FROM history.note_ds_aged000000__ds_aged000000 h
  WHERE ((h.from_epoch <= 3) AND (h.to_epoch > 3));
CREATE VIEW ds_aged000000__mat3.syn_ds_aged000000 AS
 SELECT h.id,
    h.created,
    h.pre_pt_position,
    h.pre_pt_supervoxel_id,
    h.pre_pt_root_id,
    h.post_pt_position,
    h.post_pt_supervoxel_id,
    h.post_pt_root_id,
    h.ctr_pt_position,
    h.size
   FROM history.syn_ds_aged000000__ds_aged000000 h
  WHERE ((h.from_epoch <= 3) AND (h.to_epoch > 3));
CREATE TABLE graph_ds_aged000000.edge (
    a bigint NOT NULL,
    b bigint NOT NULL,
    affinity real,
    area bigint,
    from_ms bigint NOT NULL,
    to_ms bigint NOT NULL,
    CONSTRAINT edge_check CHECK ((a < b)),
    CONSTRAINT edge_check1 CHECK ((from_ms < to_ms))
)
WITH (fillfactor='90');
CREATE TABLE graph_ds_aged000000.fragment_root (
    fragment bigint NOT NULL,
    root_id bigint NOT NULL,
    from_ms bigint NOT NULL,
    to_ms bigint NOT NULL,
    CONSTRAINT fragment_root_check CHECK ((from_ms < to_ms))
)
WITH (fillfactor='90');
CREATE TABLE graph_ds_aged000000.member (
    supervoxel_id bigint NOT NULL,
    fragment bigint NOT NULL,
    from_ms bigint NOT NULL,
    to_ms bigint NOT NULL,
    CONSTRAINT member_check CHECK ((from_ms < to_ms))
)
WITH (fillfactor='90');
CREATE TABLE graph_ds_aged000000.meta (
    one boolean DEFAULT true NOT NULL,
    start_ms bigint NOT NULL,
    sealed_ms bigint NOT NULL,
    n_layers integer,
    chunk_size bigint[],
    by_edges boolean,
    next_segment bigint DEFAULT 1 NOT NULL,
    next_fragment bigint DEFAULT 1 NOT NULL,
    CONSTRAINT meta_one_check CHECK (one)
);
CREATE TABLE graph_ds_aged000000.operation (
    operation_id bigint NOT NULL,
    at_ms bigint NOT NULL,
    kind text NOT NULL,
    user_id bigint,
    source_ids bigint[] NOT NULL,
    sink_ids bigint[] NOT NULL,
    edges_a bigint[] NOT NULL,
    edges_b bigint[] NOT NULL,
    undo_of bigint
);
CREATE TABLE graph_ds_aged000000.root (
    root_id bigint NOT NULL,
    created_ms bigint NOT NULL,
    expired_ms bigint NOT NULL,
    created_by bigint,
    retired_by bigint
);
CREATE TABLE graph_ds_aged000000.root_former (
    root_id bigint NOT NULL,
    former_id bigint NOT NULL
);
CREATE TABLE matengine.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE matengine.bulk_receipt (
    name text NOT NULL,
    table_name text NOT NULL,
    fingerprint text NOT NULL,
    rows_done bigint DEFAULT 0 NOT NULL,
    indexes text[] NOT NULL,
    started timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    moved timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished timestamp with time zone
);
CREATE TABLE matengine.change (
    seq bigint NOT NULL,
    datastack text NOT NULL,
    table_name text NOT NULL,
    kind text NOT NULL,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    due timestamp with time zone NOT NULL,
    epoch integer,
    CONSTRAINT change_kind_check CHECK ((kind = ANY (ARRAY['insert'::text, 'delete'::text])))
);
ALTER TABLE matengine.change ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME matengine.change_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE matengine.datastack (
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    segmentation text NOT NULL,
    gap_policy text DEFAULT 'publish-with-gaps'::text NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT datastack_gap_policy_check CHECK ((gap_policy = ANY (ARRAY['publish-with-gaps'::text, 'refuse'::text])))
);
CREATE TABLE matengine.emptied (
    datastack text NOT NULL,
    after_epoch integer NOT NULL,
    before_epoch integer NOT NULL
);
CREATE TABLE matengine.epoch (
    datastack text NOT NULL,
    epoch integer NOT NULL,
    "time" timestamp with time zone NOT NULL,
    sealed timestamp with time zone,
    collected timestamp with time zone
);
CREATE TABLE matengine.epoch_table (
    datastack text NOT NULL,
    epoch integer NOT NULL,
    table_name text NOT NULL,
    schema_type text NOT NULL,
    row_count bigint NOT NULL,
    fingerprint numeric NOT NULL,
    gaps bigint NOT NULL,
    rows_added bigint NOT NULL,
    rows_closed bigint NOT NULL
);
CREATE TABLE matengine.expired_root (
    run_id bigint NOT NULL,
    root_id bigint NOT NULL
);
CREATE TABLE matengine.lookup_failure (
    datastack text NOT NULL,
    table_name text NOT NULL,
    id bigint NOT NULL,
    point text NOT NULL,
    reason text NOT NULL,
    permanent boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    as_of timestamp with time zone NOT NULL
);
CREATE TABLE matengine.run (
    run_id bigint NOT NULL,
    datastack text NOT NULL,
    workflow text NOT NULL,
    epoch integer,
    version integer,
    "time" timestamp with time zone,
    previous timestamp with time zone,
    phase text NOT NULL,
    status text DEFAULT 'running'::text NOT NULL,
    error text,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    started timestamp with time zone DEFAULT now() NOT NULL,
    beat timestamp with time zone DEFAULT now() NOT NULL,
    finished timestamp with time zone,
    CONSTRAINT run_status_check CHECK ((status = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text, 'cancelled'::text])))
);
ALTER TABLE matengine.run ALTER COLUMN run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME matengine.run_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE matengine.segmentation (
    name text NOT NULL,
    volume text,
    resolution_nm double precision[],
    chunk_size integer[],
    graph text DEFAULT 'local'::text NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE matengine.unit (
    unit_id bigint NOT NULL,
    run_id bigint NOT NULL,
    kind text NOT NULL,
    table_name text NOT NULL,
    first_id bigint,
    last_id bigint,
    state text DEFAULT 'ready'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    sent timestamp with time zone,
    worker text,
    error text,
    rows_added bigint DEFAULT 0 NOT NULL,
    rows_closed bigint DEFAULT 0 NOT NULL,
    count_change bigint DEFAULT 0 NOT NULL,
    hash_change numeric DEFAULT 0 NOT NULL,
    gap_change bigint DEFAULT 0 NOT NULL,
    finished timestamp with time zone,
    CONSTRAINT unit_state_check CHECK ((state = ANY (ARRAY['ready'::text, 'working'::text, 'done'::text, 'failed'::text])))
);
ALTER TABLE matengine.unit ALTER COLUMN unit_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME matengine.unit_unit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE matengine.version (
    datastack text NOT NULL,
    version integer NOT NULL,
    epoch integer NOT NULL,
    status text NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    expires_on timestamp with time zone,
    pinned boolean DEFAULT false NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    name text,
    CONSTRAINT version_name_check CHECK ((name <> ''::text)),
    CONSTRAINT version_status_check CHECK ((status = ANY (ARRAY['RUNNING'::text, 'AVAILABLE'::text, 'FAILED'::text, 'EXPIRED'::text])))
);
CREATE TABLE public.annotation_table_metadata (
    id integer NOT NULL,
    schema_type character varying(100) NOT NULL,
    table_name character varying(100) NOT NULL,
    valid boolean,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deleted timestamp with time zone,
    user_id character varying(255) NOT NULL,
    description text NOT NULL,
    notice_text text,
    reference_table character varying(100),
    flat_segmentation_source character varying(300),
    voxel_resolution_x double precision NOT NULL,
    voxel_resolution_y double precision NOT NULL,
    voxel_resolution_z double precision NOT NULL,
    write_permission public.permission DEFAULT 'PRIVATE'::public.permission NOT NULL,
    read_permission public.permission DEFAULT 'PUBLIC'::public.permission NOT NULL,
    last_modified timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE SEQUENCE public.annotation_table_metadata_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.annotation_table_metadata_id_seq OWNED BY public.annotation_table_metadata.id;
CREATE TABLE public.note_ds_aged000000 (
    id bigint NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deleted timestamp with time zone,
    superceded_id bigint,
    valid boolean,
    target_id bigint
);
CREATE SEQUENCE public.note_ds_aged000000_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.note_ds_aged000000_id_seq OWNED BY public.note_ds_aged000000.id;
CREATE TABLE public.spare (
    id bigint NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deleted timestamp with time zone,
    superceded_id bigint,
    valid boolean,
    pre_pt_position public.geometry(PointZ),
    post_pt_position public.geometry(PointZ),
    ctr_pt_position public.geometry(PointZ),
    size double precision
);
CREATE SEQUENCE public.spare_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.spare_id_seq OWNED BY public.spare.id;
CREATE TABLE public.syn_ds_aged000000 (
    id bigint NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deleted timestamp with time zone,
    superceded_id bigint,
    valid boolean,
    pre_pt_position public.geometry(PointZ),
    post_pt_position public.geometry(PointZ),
    ctr_pt_position public.geometry(PointZ),
    size double precision
);
CREATE SEQUENCE public.syn_ds_aged000000_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.syn_ds_aged000000_id_seq OWNED BY public.syn_ds_aged000000.id;
CREATE TABLE staging.note_ds_aged000000__ds_aged000000 (
    id bigint NOT NULL
);
CREATE TABLE staging.spare__ds_aged000000 (
    id bigint NOT NULL,
    pre_pt_supervoxel_id bigint,
    post_pt_supervoxel_id bigint
);
CREATE TABLE staging.syn_ds_aged000000__ds_aged000000 (
    id bigint NOT NULL,
    pre_pt_supervoxel_id bigint,
    post_pt_supervoxel_id bigint
);
ALTER TABLE ONLY public.annotation_table_metadata ALTER COLUMN id SET DEFAULT nextval('public.annotation_table_metadata_id_seq'::regclass);
ALTER TABLE ONLY public.note_ds_aged000000 ALTER COLUMN id SET DEFAULT nextval('public.note_ds_aged000000_id_seq'::regclass);
ALTER TABLE ONLY public.spare ALTER COLUMN id SET DEFAULT nextval('public.spare_id_seq'::regclass);
ALTER TABLE ONLY public.syn_ds_aged000000 ALTER COLUMN id SET DEFAULT nextval('public.syn_ds_aged000000_id_seq'::regclass);
INSERT INTO graph_ds_aged000000.edge VALUES
	(72057594037927938, 72057594037927939, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057594037927939, 72057594105036801, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057594105036801, 72057594105036802, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057594172145666, 72057594172145667, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057662757404673, 72057662757404674, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057662824513538, 72057662824513539, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057662824513539, 72057662891622401, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057662891622401, 72057662891622402, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057662891622402, 72057662891622403, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057662891622403, 72057731476881409, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731476881410, 72057731476881411, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731476881411, 72057731543990273, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731543990273, 72057731543990274, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731543990274, 72057731543990275, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731543990275, 72057731611099137, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731611099137, 72057731611099138, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731611099139, 72127962782105601, NULL, NULL, 1738713600000, 9223372036854775807),
	(72127962782105601, 72127962782105602, NULL, NULL, 1738713600000, 9223372036854775807),
	(72127962849214466, 72127962849214467, NULL, NULL, 1738713600000, 9223372036854775807),
	(72127962849214467, 72127962916323329, NULL, NULL, 1738713600000, 9223372036854775807),
	(72127962916323329, 72127962916323330, NULL, NULL, 1738713600000, 9223372036854775807),
	(72127962916323330, 72127962916323331, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031501582338, 72128031501582339, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031501582339, 72128031568691201, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031568691201, 72128031568691202, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031568691202, 72128031568691203, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031568691203, 72128031635800065, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031635800065, 72128031635800066, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128031635800067, 72128100221059073, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128100221059073, 72128100221059074, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128100221059074, 72128100221059075, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128100221059075, 72128100288167937, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128100288167937, 72128100288167938, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128100355276802, 72128100355276803, NULL, NULL, 1738713600000, 9223372036854775807),
	(72128100355276803, 72198331526283265, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198331526283266, 72198331526283267, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198331526283267, 72198331593392129, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198331593392130, 72198331593392131, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198331593392131, 72198331660500993, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198331660500995, 72198400245760001, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198400245760001, 72198400245760002, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198400245760002, 72198400245760003, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198400245760003, 72198400312868865, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198400312868865, 72198400312868866, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198400379977730, 72198400379977731, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198468965236737, 72198468965236738, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198469032345602, 72198469032345603, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198469032345603, 72198469099454465, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198469099454465, 72198469099454466, NULL, NULL, 1738713600000, 9223372036854775807),
	(72198469099454466, 72198469099454467, NULL, NULL, 1738713600000, 9223372036854775807),
	(72057731543990275, 72128100288167939, NULL, NULL, 1766894886597, 9223372036854775807),
	(72057594037927937, 72057594037927938, NULL, NULL, 1738713600000, 1766894886608),
	(72057731543990275, 72198400379977731, NULL, NULL, 1766894886630, 9223372036854775807),
	(72198331660500993, 72198331660500994, NULL, NULL, 1738713600000, 1766894886640),
	(72057594037927937, 72057662757404674, NULL, NULL, 1766894886998, 9223372036854775807),
	(72127962916323331, 72128031501582337, NULL, NULL, 1738713600000, 1766894887007),
	(72128031501582338, 72198331526283266, NULL, NULL, 1766894887227, 9223372036854775807),
	(72198331593392129, 72198331593392130, NULL, NULL, 1738713600000, 1766894887243);
INSERT INTO graph_ds_aged000000.fragment_root VALUES
	(2, 288230376151711746, 1738713600000, 9223372036854775807),
	(3, 288230376151711747, 1738713600000, 9223372036854775807),
	(4, 288230376151711748, 1738713600000, 9223372036854775807),
	(6, 288230376151711750, 1738713600000, 9223372036854775807),
	(7, 288230376151711751, 1738713600000, 9223372036854775807),
	(8, 288230376151711752, 1738713600000, 9223372036854775807),
	(10, 288230376151711754, 1738713600000, 9223372036854775807),
	(11, 288230376151711755, 1738713600000, 9223372036854775807),
	(12, 288230376151711756, 1738713600000, 9223372036854775807),
	(15, 288230376151711759, 1738713600000, 9223372036854775807),
	(17, 288230376151711761, 1738713600000, 9223372036854775807),
	(18, 288230376151711762, 1738713600000, 9223372036854775807),
	(20, 288230376151711764, 1738713600000, 9223372036854775807),
	(21, 288230376151711765, 1738713600000, 9223372036854775807),
	(22, 288230376151711766, 1738713600000, 9223372036854775807),
	(24, 288230376151711768, 1738713600000, 9223372036854775807),
	(25, 288230376151711769, 1738713600000, 9223372036854775807),
	(26, 288230376151711770, 1738713600000, 9223372036854775807),
	(27, 288230376151711771, 1738713600000, 9223372036854775807),
	(9, 288230376151711753, 1738713600000, 1766894886597),
	(16, 288230376151711760, 1738713600000, 1766894886597),
	(1, 288230376151711745, 1738713600000, 1766894886608),
	(1, 288230376151711774, 1766894886608, 9223372036854775807),
	(23, 288230376151711767, 1738713600000, 1766894886630),
	(9, 288230376151711772, 1766894886597, 1766894886630),
	(16, 288230376151711772, 1766894886597, 1766894886630),
	(9, 288230376151711775, 1766894886630, 9223372036854775807),
	(16, 288230376151711775, 1766894886630, 9223372036854775807),
	(23, 288230376151711775, 1766894886630, 9223372036854775807),
	(19, 288230376151711763, 1738713600000, 1766894886640),
	(29, 288230376151711777, 1766894886640, 9223372036854775807),
	(5, 288230376151711749, 1738713600000, 1766894886998),
	(28, 288230376151711773, 1766894886608, 1766894886998),
	(5, 288230376151711778, 1766894886998, 9223372036854775807),
	(28, 288230376151711778, 1766894886998, 9223372036854775807),
	(13, 288230376151711757, 1738713600000, 1766894887007),
	(13, 288230376151711779, 1766894887007, 9223372036854775807),
	(30, 288230376151711780, 1766894887007, 9223372036854775807),
	(14, 288230376151711758, 1738713600000, 1766894887227),
	(19, 288230376151711776, 1766894886640, 1766894887227),
	(14, 288230376151711781, 1766894887227, 1766894887243),
	(19, 288230376151711781, 1766894887227, 1766894887243),
	(14, 288230376151711782, 1766894887243, 9223372036854775807),
	(19, 288230376151711782, 1766894887243, 9223372036854775807),
	(31, 288230376151711783, 1766894887243, 9223372036854775807);
INSERT INTO graph_ds_aged000000.member VALUES
	(72057594037927938, 1, 1738713600000, 9223372036854775807),
	(72057594037927939, 1, 1738713600000, 9223372036854775807),
	(72057594105036801, 1, 1738713600000, 9223372036854775807),
	(72057594105036802, 1, 1738713600000, 9223372036854775807),
	(72057594105036803, 2, 1738713600000, 9223372036854775807),
	(72057594172145665, 3, 1738713600000, 9223372036854775807),
	(72057594172145666, 4, 1738713600000, 9223372036854775807),
	(72057594172145667, 4, 1738713600000, 9223372036854775807),
	(72057662757404673, 5, 1738713600000, 9223372036854775807),
	(72057662757404674, 5, 1738713600000, 9223372036854775807),
	(72057662757404675, 6, 1738713600000, 9223372036854775807),
	(72057662824513537, 7, 1738713600000, 9223372036854775807),
	(72057662824513538, 8, 1738713600000, 9223372036854775807),
	(72057662824513539, 8, 1738713600000, 9223372036854775807),
	(72057662891622401, 8, 1738713600000, 9223372036854775807),
	(72057662891622402, 8, 1738713600000, 9223372036854775807),
	(72057662891622403, 8, 1738713600000, 9223372036854775807),
	(72057731476881409, 8, 1738713600000, 9223372036854775807),
	(72057731476881410, 9, 1738713600000, 9223372036854775807),
	(72057731476881411, 9, 1738713600000, 9223372036854775807),
	(72057731543990273, 9, 1738713600000, 9223372036854775807),
	(72057731543990274, 9, 1738713600000, 9223372036854775807),
	(72057731543990275, 9, 1738713600000, 9223372036854775807),
	(72057731611099137, 9, 1738713600000, 9223372036854775807),
	(72057731611099138, 9, 1738713600000, 9223372036854775807),
	(72057731611099139, 10, 1738713600000, 9223372036854775807),
	(72127962782105601, 10, 1738713600000, 9223372036854775807),
	(72127962782105602, 10, 1738713600000, 9223372036854775807),
	(72127962782105603, 11, 1738713600000, 9223372036854775807),
	(72127962849214465, 12, 1738713600000, 9223372036854775807),
	(72127962849214466, 13, 1738713600000, 9223372036854775807),
	(72127962849214467, 13, 1738713600000, 9223372036854775807),
	(72127962916323329, 13, 1738713600000, 9223372036854775807),
	(72127962916323330, 13, 1738713600000, 9223372036854775807),
	(72127962916323331, 13, 1738713600000, 9223372036854775807),
	(72128031501582338, 14, 1738713600000, 9223372036854775807),
	(72128031501582339, 14, 1738713600000, 9223372036854775807),
	(72128031568691201, 14, 1738713600000, 9223372036854775807),
	(72128031568691202, 14, 1738713600000, 9223372036854775807),
	(72128031568691203, 14, 1738713600000, 9223372036854775807),
	(72128031635800065, 14, 1738713600000, 9223372036854775807),
	(72128031635800066, 14, 1738713600000, 9223372036854775807),
	(72128031635800067, 15, 1738713600000, 9223372036854775807),
	(72128100221059073, 15, 1738713600000, 9223372036854775807),
	(72128100221059074, 15, 1738713600000, 9223372036854775807),
	(72128100221059075, 15, 1738713600000, 9223372036854775807),
	(72128100288167937, 15, 1738713600000, 9223372036854775807),
	(72128100288167938, 15, 1738713600000, 9223372036854775807),
	(72128100288167939, 16, 1738713600000, 9223372036854775807),
	(72128100355276801, 17, 1738713600000, 9223372036854775807),
	(72128100355276802, 18, 1738713600000, 9223372036854775807),
	(72128100355276803, 18, 1738713600000, 9223372036854775807),
	(72198331526283265, 18, 1738713600000, 9223372036854775807),
	(72198331526283266, 19, 1738713600000, 9223372036854775807),
	(72198331526283267, 19, 1738713600000, 9223372036854775807),
	(72198331593392129, 19, 1738713600000, 9223372036854775807),
	(72198331660500995, 20, 1738713600000, 9223372036854775807),
	(72198400245760001, 20, 1738713600000, 9223372036854775807),
	(72198400245760002, 20, 1738713600000, 9223372036854775807),
	(72198400245760003, 20, 1738713600000, 9223372036854775807),
	(72198400312868865, 20, 1738713600000, 9223372036854775807),
	(72198400312868866, 20, 1738713600000, 9223372036854775807),
	(72198400312868867, 21, 1738713600000, 9223372036854775807),
	(72198400379977729, 22, 1738713600000, 9223372036854775807),
	(72198400379977730, 23, 1738713600000, 9223372036854775807),
	(72198400379977731, 23, 1738713600000, 9223372036854775807),
	(72198468965236737, 24, 1738713600000, 9223372036854775807),
	(72198468965236738, 24, 1738713600000, 9223372036854775807),
	(72198468965236739, 25, 1738713600000, 9223372036854775807),
	(72198469032345601, 26, 1738713600000, 9223372036854775807),
	(72198469032345602, 27, 1738713600000, 9223372036854775807),
	(72198469032345603, 27, 1738713600000, 9223372036854775807),
	(72198469099454465, 27, 1738713600000, 9223372036854775807),
	(72198469099454466, 27, 1738713600000, 9223372036854775807),
	(72198469099454467, 27, 1738713600000, 9223372036854775807),
	(72057594037927937, 1, 1738713600000, 1766894886608),
	(72057594037927937, 28, 1766894886608, 9223372036854775807),
	(72198331660500994, 19, 1738713600000, 1766894886640),
	(72198331660500994, 29, 1766894886640, 9223372036854775807),
	(72128031501582337, 13, 1738713600000, 1766894887007),
	(72128031501582337, 30, 1766894887007, 9223372036854775807),
	(72198331593392130, 19, 1738713600000, 1766894887243),
	(72198331593392131, 19, 1738713600000, 1766894887243),
	(72198331660500993, 19, 1738713600000, 1766894887243),
	(72198331593392130, 31, 1766894887243, 9223372036854775807),
	(72198331593392131, 31, 1766894887243, 9223372036854775807),
	(72198331660500993, 31, 1766894887243, 9223372036854775807);
INSERT INTO graph_ds_aged000000.meta VALUES
	(true, 1738713600000, 1766894887545, 4, NULL, true, 40, 32);
INSERT INTO graph_ds_aged000000.operation VALUES
	(1, 1766894886597, 'merge', NULL, '{}', '{}', '{72057731543990275}', '{72128100288167939}', NULL),
	(2, 1766894886608, 'split', NULL, '{}', '{}', '{72057594037927937}', '{72057594037927938}', NULL),
	(3, 1766894886630, 'merge', NULL, '{}', '{}', '{72057731543990275}', '{72198400379977731}', NULL),
	(4, 1766894886640, 'split', NULL, '{}', '{}', '{72198331660500993}', '{72198331660500994}', NULL),
	(5, 1766894886998, 'merge', NULL, '{}', '{}', '{72057594037927937}', '{72057662757404674}', NULL),
	(6, 1766894887007, 'split', NULL, '{}', '{}', '{72127962916323331}', '{72128031501582337}', NULL),
	(7, 1766894887227, 'merge', NULL, '{}', '{}', '{72128031501582338}', '{72198331526283266}', NULL),
	(8, 1766894887243, 'split', NULL, '{}', '{}', '{72198331593392129}', '{72198331593392130}', NULL);
INSERT INTO graph_ds_aged000000.root VALUES
	(288230376151711746, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711747, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711748, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711750, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711751, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711752, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711754, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711755, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711756, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711759, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711761, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711762, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711764, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711765, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711766, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711768, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711769, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711770, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711771, 1738713600000, 9223372036854775807, NULL, NULL),
	(288230376151711753, 1738713600000, 1766894886597, NULL, 1),
	(288230376151711760, 1738713600000, 1766894886597, NULL, 1),
	(288230376151711774, 1766894886608, 9223372036854775807, 2, NULL),
	(288230376151711745, 1738713600000, 1766894886608, NULL, 2),
	(288230376151711775, 1766894886630, 9223372036854775807, 3, NULL),
	(288230376151711767, 1738713600000, 1766894886630, NULL, 3),
	(288230376151711772, 1766894886597, 1766894886630, 1, 3),
	(288230376151711777, 1766894886640, 9223372036854775807, 4, NULL),
	(288230376151711763, 1738713600000, 1766894886640, NULL, 4),
	(288230376151711778, 1766894886998, 9223372036854775807, 5, NULL),
	(288230376151711749, 1738713600000, 1766894886998, NULL, 5),
	(288230376151711773, 1766894886608, 1766894886998, 2, 5),
	(288230376151711779, 1766894887007, 9223372036854775807, 6, NULL),
	(288230376151711780, 1766894887007, 9223372036854775807, 6, NULL),
	(288230376151711757, 1738713600000, 1766894887007, NULL, 6),
	(288230376151711758, 1738713600000, 1766894887227, NULL, 7),
	(288230376151711776, 1766894886640, 1766894887227, 4, 7),
	(288230376151711782, 1766894887243, 9223372036854775807, 8, NULL),
	(288230376151711783, 1766894887243, 9223372036854775807, 8, NULL),
	(288230376151711781, 1766894887227, 1766894887243, 7, 8);
INSERT INTO graph_ds_aged000000.root_former VALUES
	(288230376151711772, 288230376151711753),
	(288230376151711772, 288230376151711760),
	(288230376151711773, 288230376151711745),
	(288230376151711774, 288230376151711745),
	(288230376151711775, 288230376151711767),
	(288230376151711775, 288230376151711772),
	(288230376151711776, 288230376151711763),
	(288230376151711777, 288230376151711763),
	(288230376151711778, 288230376151711749),
	(288230376151711778, 288230376151711773),
	(288230376151711779, 288230376151711757),
	(288230376151711780, 288230376151711757),
	(288230376151711781, 288230376151711758),
	(288230376151711781, 288230376151711776),
	(288230376151711782, 288230376151711781),
	(288230376151711783, 288230376151711781);
INSERT INTO history.note_ds_aged000000__ds_aged000000 VALUES
	(1, '2025-12-28 04:08:06.625431+00', 1, 2147483647, 10),
	(2, '2025-12-28 04:08:06.670725+00', 1, 2147483647, 14),
	(3, '2025-12-28 04:08:07.024348+00', 2, 2147483647, 8),
	(4, '2025-12-28 04:08:07.262002+00', 3, 2147483647, 25);
INSERT INTO history.syn_ds_aged000000__ds_aged000000 VALUES
	(3, '2025-12-28 04:08:06.589043+00', 1, 2147483647, '0101000080000000000000000000000000000010400000000000001840', 72057662824513538, 288230376151711752, '0101000080000000000000284000000000000000400000000000001440', 0, 0, '01010000800000000000001C4000000000000000000000000000002040', NULL),
	(6, '2025-12-28 04:08:06.589043+00', 1, 2147483647, '0101000080000000000000F03F000000000000F03F000000000000F0BF', 0, 0, '01010000800000000000002840000000000000F0BF0000000000000040', 0, 0, '010100008000000000000026400000000000000040000000000000F03F', NULL),
	(8, '2025-12-28 04:08:06.589043+00', 1, 2147483647, '0101000080000000000000F03F00000000000024400000000000000040', 72057731476881409, 288230376151711752, '010100008000000000000014400000000000000840000000000000F0BF', 0, 0, '010100008000000000000010400000000000001440000000000000F03F', NULL),
	(9, '2025-12-28 04:08:06.589043+00', 1, 2147483647, '0101000080000000000000F03F00000000000008400000000000000000', 0, 0, '0101000080000000000000104000000000000008400000000000002840', 0, 0, '010100008000000000000020400000000000002040000000000000F0BF', NULL),
	(14, '2025-12-28 04:08:06.654161+00', 1, 2147483647, '0101000080000000000000004000000000000000000000000000002640', 72057594172145665, 288230376151711747, '0101000080000000000000F03F00000000000018400000000000001840', 72057662824513537, 288230376151711751, '01010000800000000000002440000000000000F03F000000000000F0BF', NULL),
	(10, '2025-12-28 04:08:06.589043+00', 1, 2147483647, '0101000080000000000000204000000000000022400000000000002440', 72198469099454467, 288230376151711771, '0101000080000000000000104000000000000000000000000000000840', 72127962782105603, 288230376151711755, '0101000080000000000000104000000000000028400000000000000840', NULL),
	(2, '2025-12-28 04:08:06.589043+00', 1, 2147483647, '01010000800000000000001C40000000000000F0BF0000000000002840', 0, 0, '0101000080000000000000184000000000000026400000000000000040', 72128100221059075, 288230376151711759, '01010000800000000000002240000000000000F0BF000000000000F03F', NULL),
	(4, '2025-12-28 04:08:06.589043+00', 1, 2, '01010000800000000000000040000000000000F0BF0000000000002440', 0, 0, '0101000080000000000000004000000000000014400000000000000840', 72057662757404674, 288230376151711749, '0101000080000000000000F03F00000000000028400000000000002640', NULL),
	(4, '2025-12-28 04:08:06.589043+00', 2, 2147483647, '01010000800000000000000040000000000000F0BF0000000000002440', 0, 0, '0101000080000000000000004000000000000014400000000000000840', 72057662757404674, 288230376151711778, '0101000080000000000000F03F00000000000028400000000000002640', NULL),
	(18, '2025-12-28 04:08:06.993401+00', 2, 2147483647, '0101000080000000000000084000000000000024400000000000001C40', 0, 0, '0101000080000000000000000000000000000008400000000000002240', NULL, NULL, '010100008000000000000010400000000000000840000000000000F03F', NULL),
	(22, '2025-12-28 04:08:06.993401+00', 2, 2147483647, '01010000800000000000002240000000000000F0BF0000000000002640', 0, 0, '0101000080000000000000184000000000000010400000000000002840', 0, 0, '01010000800000000000000040000000000000F03F0000000000002440', NULL),
	(23, '2025-12-28 04:08:07.016291+00', 2, 2147483647, '0101000080000000000000264000000000000014400000000000000000', 0, 0, '010100008000000000000020400000000000001C400000000000001440', 0, 0, '0101000080000000000000F0BF00000000000000400000000000002440', NULL),
	(17, '2025-12-28 04:08:06.993401+00', 2, 2147483647, '0101000080000000000000144000000000000000000000000000000040', 72127962782105603, 288230376151711755, '010100008000000000000010400000000000001C400000000000002040', 72128031635800067, 288230376151711759, '01010000800000000000001040000000000000F03F0000000000001040', NULL),
	(16, '2025-12-28 04:08:06.993401+00', 2, 2147483647, '0101000080000000000000000000000000000020400000000000002440', NULL, NULL, '0101000080000000000000264000000000000026400000000000001040', 72198469032345602, 288230376151711771, '010100008000000000000028400000000000000840000000000000F0BF', NULL),
	(21, '2025-12-28 04:08:06.993401+00', 2, 3, '0101000080000000000000204000000000000010400000000000002840', 0, 0, '0101000080000000000000084000000000000018400000000000002240', 72057662891622402, 288230376151711752, '01010000800000000000001440000000000000F03F000000000000F0BF', NULL),
	(7, '2025-12-28 04:08:06.589043+00', 1, 3, '01010000800000000000002840000000000000F03F0000000000000840', 0, 0, '0101000080000000000000104000000000000000400000000000001C40', 72127962849214465, 288230376151711756, '0101000080000000000000224000000000000022400000000000000040', NULL),
	(21, '2025-12-28 04:08:06.993401+00', 3, 3, '0101000080000000000000204000000000000010400000000000002840', 0, 0, '0101000080000000000000084000000000000018400000000000002240', 72057662891622402, 288230376151711752, '01010000800000000000001440000000000000F03F000000000000F0BF', NULL),
	(7, '2025-12-28 04:08:06.589043+00', 3, 3, '01010000800000000000002840000000000000F03F0000000000000840', 0, 0, '0101000080000000000000104000000000000000400000000000001C40', 72127962849214465, 288230376151711756, '0101000080000000000000224000000000000022400000000000000040', NULL),
	(1, '2025-12-28 04:08:06.589043+00', 1, 3, '0101000080000000000000204000000000000008400000000000002440', 72198331660500993, 288230376151711776, '0101000080000000000000104000000000000026400000000000002440', 72128100355276801, 288230376151711761, '0101000080000000000000284000000000000024400000000000002240', NULL),
	(19, '2025-12-28 04:08:06.993401+00', 2, 3, '0101000080000000000000264000000000000000000000000000002240', 0, 0, '0101000080000000000000F03F00000000000024400000000000002440', NULL, NULL, '010100008000000000000008400000000000001840000000000000F03F', NULL),
	(1, '2025-12-28 04:08:06.589043+00', 3, 2147483647, '0101000080000000000000204000000000000008400000000000002440', 72198331660500993, 288230376151711783, '0101000080000000000000104000000000000026400000000000002440', 72128100355276801, 288230376151711761, '0101000080000000000000284000000000000024400000000000002240', NULL),
	(19, '2025-12-28 04:08:06.993401+00', 3, 2147483647, '0101000080000000000000264000000000000000000000000000002240', 0, 0, '0101000080000000000000F03F00000000000024400000000000002440', 72057731611099137, 288230376151711775, '010100008000000000000008400000000000001840000000000000F03F', NULL),
	(24, '2025-12-28 04:08:07.217667+00', 3, 2147483647, '01010000800000000000001040000000000000F03F000000000000F0BF', 0, 0, '0101000080000000000000284000000000000014400000000000000840', 0, 0, '0101000080000000000000F03F00000000000018400000000000002040', NULL),
	(26, '2025-12-28 04:08:07.253021+00', 3, 2147483647, '0101000080000000000000F03F00000000000000000000000000001440', 72057594105036802, 288230376151711774, '0101000080000000000000084000000000000018400000000000002240', 72057662891622402, 288230376151711752, '01010000800000000000001440000000000000F03F000000000000F0BF', NULL),
	(25, '2025-12-28 04:08:07.217667+00', 3, 2147483647, '01010000800000000000002840000000000000F03F0000000000001C40', 0, 0, '0101000080000000000000184000000000000018400000000000002440', 72128031635800066, 288230376151711782, '0101000080000000000000244000000000000010400000000000001840', NULL),
	(27, '2025-12-28 04:08:07.441375+00', 4, 2147483647, '0101000080000000000000F03F00000000000022400000000000001840', NULL, NULL, '010100008000000000000028400000000000001040000000000000F03F', 0, 0, '0101000080000000000000000000000000000018400000000000000840', NULL),
	(28, '2025-12-28 04:08:07.441375+00', 4, 2147483647, '01010000800000000000001C4000000000000026400000000000001C40', 72128100288167937, 288230376151711759, '010100008000000000000028400000000000001C400000000000001040', 0, 0, '0101000080000000000000000000000000000026400000000000002640', NULL),
	(29, '2025-12-28 04:08:07.539957+00', 4, 2147483647, '0101000080000000000000264000000000000010400000000000002440', 72198400379977729, 288230376151711766, '010100008000000000000020400000000000002240000000000000F0BF', 0, 0, '0101000080000000000000264000000000000008400000000000001040', NULL),
	(30, '2025-12-28 04:08:07.539957+00', 4, 2147483647, '01010000800000000000001C4000000000000024400000000000002240', 72128100355276802, 288230376151711762, '0101000080000000000000084000000000000028400000000000001840', 0, 0, '0101000080000000000000084000000000000026400000000000002440', NULL),
	(32, '2025-12-28 04:08:07.539957+00', 4, 2147483647, '01010000800000000000001C4000000000000026400000000000000840', 72128100221059073, 288230376151711759, '0101000080000000000000104000000000000022400000000000000840', 0, 0, '0101000080000000000000184000000000000008400000000000002840', NULL),
	(31, '2025-12-28 04:08:07.539957+00', 4, 2147483647, '0101000080000000000000244000000000000008400000000000001040', 72198331593392129, 288230376151711782, '01010000800000000000002240000000000000F03F0000000000002040', 72198331660500994, 288230376151711777, '01010000800000000000002840000000000000F0BF0000000000001840', NULL);
INSERT INTO matengine.alembic_version VALUES
	('0005');
INSERT INTO matengine.change OVERRIDING SYSTEM VALUE VALUES
	(22, 'ds_aged000000', 'syn_ds_aged000000', 'insert', 33, 34, '2025-12-28 04:08:07.692655+00', NULL);
INSERT INTO matengine.datastack VALUES
	('ds_aged000000', '', 'ds_aged000000', 'publish-with-gaps', '2025-12-28 04:08:06.457106+00');
INSERT INTO matengine.epoch VALUES
	('ds_aged000000', 1, '2025-12-28 04:08:06.677+00', '2025-12-28 04:08:06.977791+00', NULL),
	('ds_aged000000', 2, '2025-12-28 04:08:07.027+00', '2025-12-28 04:08:07.205156+00', NULL),
	('ds_aged000000', 3, '2025-12-28 04:08:07.266+00', '2025-12-28 04:08:07.431946+00', NULL),
	('ds_aged000000', 4, '2025-12-28 04:08:07.545+00', '2025-12-28 04:08:07.683588+00', NULL);
INSERT INTO matengine.epoch_table VALUES
	('ds_aged000000', 1, 'note_ds_aged000000', 'simple_reference', 2, 9822446838917063249, 0, 2, 0),
	('ds_aged000000', 1, 'spare', 'synapse', 0, 0, 0, 0, 0),
	('ds_aged000000', 1, 'syn_ds_aged000000', 'synapse', 10, 13851024654918212217, 0, 10, 0),
	('ds_aged000000', 2, 'note_ds_aged000000', 'simple_reference', 3, 10391257655378281714, 0, 1, 0),
	('ds_aged000000', 2, 'spare', 'synapse', 0, 0, 0, 0, 0),
	('ds_aged000000', 2, 'syn_ds_aged000000', 'synapse', 17, 13775680018401205626, 3, 8, 1),
	('ds_aged000000', 3, 'note_ds_aged000000', 'simple_reference', 4, 4698684812191316309, 0, 1, 0),
	('ds_aged000000', 3, 'syn_ds_aged000000', 'synapse', 18, 11623573981485179994, 2, 5, 4),
	('ds_aged000000', 4, 'note_ds_aged000000', 'simple_reference', 4, 4698684812191316309, 0, 0, 0),
	('ds_aged000000', 4, 'syn_ds_aged000000', 'synapse', 24, 13730380993723761216, 3, 6, 0);
INSERT INTO matengine.lookup_failure VALUES
	('ds_aged000000', 'syn_ds_aged000000', 27, 'pre_pt_position', 'chunk 0-4_0-4_0-4 cannot be read', false, 1, '2025-12-28 04:08:07.545+00');
INSERT INTO matengine.run OVERRIDING SYSTEM VALUE VALUES
	(1, 'ds_aged000000', 'complete', 1, 1, '2025-12-28 04:08:06.677+00', NULL, 'publish', 'done', NULL, '{"writers": []}', '2025-12-28 04:08:06.675755+00', '2025-12-28 04:08:06.969878+00', '2025-12-28 04:08:06.969878+00'),
	(2, 'ds_aged000000', 'complete', 2, 2, '2025-12-28 04:08:07.027+00', '2025-12-28 04:08:06.677+00', 'publish', 'done', NULL, '{"writers": []}', '2025-12-28 04:08:07.026886+00', '2025-12-28 04:08:07.197695+00', '2025-12-28 04:08:07.197695+00'),
	(3, 'ds_aged000000', 'complete', 3, 3, '2025-12-28 04:08:07.266+00', '2025-12-28 04:08:07.027+00', 'publish', 'done', NULL, '{"writers": []}', '2025-12-28 04:08:07.265319+00', '2025-12-28 04:08:07.426086+00', '2025-12-28 04:08:07.426086+00'),
	(4, 'ds_aged000000', 'complete', 4, 4, '2025-12-28 04:08:07.449+00', '2025-12-28 04:08:07.266+00', 'apply', 'cancelled', 'cancelled by a user', '{"writers": []}', '2025-12-28 04:08:07.446936+00', '2025-12-28 04:08:07.529389+00', '2025-12-28 04:08:07.529389+00'),
	(5, 'ds_aged000000', 'update_database', 4, NULL, '2025-12-28 04:08:07.545+00', '2025-12-28 04:08:07.266+00', 'publish', 'done', NULL, '{"writers": []}', '2025-12-28 04:08:07.544003+00', '2025-12-28 04:08:07.677374+00', '2025-12-28 04:08:07.677374+00');
INSERT INTO matengine.segmentation VALUES
	('ds_aged000000', '/volume', '{1,1,1}', '{4,4,4}', 'local', '2025-12-28 04:08:06.457106+00');
INSERT INTO matengine.unit OVERRIDING SYSTEM VALUE VALUES
	(1, 1, 'collect', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.749788+00'),
	(2, 1, 'collect', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.762776+00'),
	(3, 1, 'staged', 'note_ds_aged000000', 1, 2, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.860058+00'),
	(4, 1, 'staged', 'syn_ds_aged000000', 1, 14, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.91289+00'),
	(5, 1, 'apply', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 2, 0, 2, 3486527313546804023, 0, '2025-12-28 04:08:06.925087+00'),
	(25, 4, 'apply', 'syn_ds_aged000000', NULL, NULL, 'failed', 0, NULL, NULL, NULL, 'the run ended', 0, 0, 0, 0, 0, NULL),
	(6, 1, 'apply', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 10, 0, 10, -24237124409828606062, 0, '2025-12-28 04:08:06.932942+00'),
	(7, 1, 'index', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.942757+00'),
	(8, 1, 'index', 'spare', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.951147+00'),
	(9, 1, 'index', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:06.962088+00'),
	(10, 2, 'collect', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.063177+00'),
	(11, 2, 'collect', 'spare', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.074378+00'),
	(12, 2, 'collect', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.096714+00'),
	(13, 2, 'staged', 'note_ds_aged000000', 3, 3, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.120583+00'),
	(14, 2, 'staged', 'syn_ds_aged000000', 4, 23, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.160393+00'),
	(17, 3, 'collect', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.299295+00'),
	(15, 2, 'apply', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 1, 0, 1, 1666459052721225412, 0, '2025-12-28 04:08:07.173921+00'),
	(16, 2, 'apply', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 8, 1, 7, 245057872642433418, 3, '2025-12-28 04:08:07.183274+00'),
	(18, 3, 'collect', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 2, -2, 4738060097310467500, 0, '2025-12-28 04:08:07.318124+00'),
	(19, 3, 'staged', 'note_ds_aged000000', 4, 4, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.359562+00'),
	(20, 3, 'staged', 'syn_ds_aged000000', 1, 26, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.392085+00'),
	(21, 3, 'apply', 'note_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 1, 0, 1, 8835680627709350107, 0, '2025-12-28 04:08:07.406421+00'),
	(22, 3, 'apply', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 5, 2, 3, -12591321864887562078, -1, '2025-12-28 04:08:07.416518+00'),
	(23, 4, 'collect', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.477574+00'),
	(24, 4, 'staged', 'syn_ds_aged000000', 16, 28, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.515153+00'),
	(26, 5, 'collect', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.595443+00'),
	(27, 5, 'staged', 'syn_ds_aged000000', 27, 32, 'done', 1, NULL, NULL, 'worker', NULL, 0, 0, 0, 0, 0, '2025-12-28 04:08:07.647781+00'),
	(28, 5, 'apply', 'syn_ds_aged000000', NULL, NULL, 'done', 1, NULL, NULL, 'worker', NULL, 6, 0, 6, -5372847673544231524, 1, '2025-12-28 04:08:07.660522+00');
INSERT INTO matengine.version VALUES
	('ds_aged000000', 1, 1, 'AVAILABLE', '2025-12-28 04:08:06.675755+00', NULL, true, '', 'before'),
	('ds_aged000000', 2, 2, 'AVAILABLE', '2025-12-28 04:08:07.026886+00', NULL, false, '', NULL),
	('ds_aged000000', 3, 3, 'AVAILABLE', '2025-12-28 04:08:07.265319+00', NULL, false, '', NULL),
	('ds_aged000000', 4, 4, 'FAILED', '2025-12-28 04:08:07.446936+00', NULL, false, '', NULL);
INSERT INTO public.annotation_table_metadata VALUES
	(1, 'synapse', 'syn_ds_aged000000', true, '2025-12-28 04:08:06.558842+00', NULL, '', '', NULL, NULL, NULL, 1, 1, 1, 'PRIVATE', 'PUBLIC', '2025-12-28 04:08:06.558842+00'),
	(2, 'simple_reference', 'note_ds_aged000000', true, '2025-12-28 04:08:06.569416+00', NULL, '', '', NULL, 'syn_ds_aged000000', NULL, 1, 1, 1, 'PRIVATE', 'PUBLIC', '2025-12-28 04:08:06.569416+00'),
	(3, 'synapse', 'spare', false, '2025-12-28 04:08:06.585849+00', '2025-12-28 04:08:07.265001+00', '', 'A table that goes.', 'mind the gap', NULL, NULL, 1, 1, 1, 'PRIVATE', 'PUBLIC', '2025-12-28 04:08:07.265001+00');
INSERT INTO public.note_ds_aged000000 VALUES
	(1, '2025-12-28 04:08:06.625431+00', NULL, NULL, true, 10),
	(2, '2025-12-28 04:08:06.670725+00', NULL, NULL, true, 14),
	(3, '2025-12-28 04:08:07.024348+00', NULL, NULL, true, 8),
	(4, '2025-12-28 04:08:07.262002+00', NULL, NULL, true, 25);
INSERT INTO public.syn_ds_aged000000 VALUES
	(1, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '0101000080000000000000204000000000000008400000000000002440', '0101000080000000000000104000000000000026400000000000002440', '0101000080000000000000284000000000000024400000000000002240', NULL),
	(2, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '01010000800000000000001C40000000000000F0BF0000000000002840', '0101000080000000000000184000000000000026400000000000000040', '01010000800000000000002240000000000000F0BF000000000000F03F', NULL),
	(3, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '0101000080000000000000000000000000000010400000000000001840', '0101000080000000000000284000000000000000400000000000001440', '01010000800000000000001C4000000000000000000000000000002040', NULL),
	(4, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '01010000800000000000000040000000000000F0BF0000000000002440', '0101000080000000000000004000000000000014400000000000000840', '0101000080000000000000F03F00000000000028400000000000002640', NULL),
	(6, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '0101000080000000000000F03F000000000000F03F000000000000F0BF', '01010000800000000000002840000000000000F0BF0000000000000040', '010100008000000000000026400000000000000040000000000000F03F', NULL),
	(8, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '0101000080000000000000F03F00000000000024400000000000000040', '010100008000000000000014400000000000000840000000000000F0BF', '010100008000000000000010400000000000001440000000000000F03F', NULL),
	(9, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '0101000080000000000000F03F00000000000008400000000000000000', '0101000080000000000000104000000000000008400000000000002840', '010100008000000000000020400000000000002040000000000000F0BF', NULL),
	(10, '2025-12-28 04:08:06.589043+00', NULL, NULL, true, '0101000080000000000000204000000000000022400000000000002440', '0101000080000000000000104000000000000000000000000000000840', '0101000080000000000000104000000000000028400000000000000840', NULL),
	(5, '2025-12-28 04:08:06.589043+00', '2025-12-28 04:08:06.618107+00', 13, false, '01010000800000000000001440000000000000F03F0000000000002640', '010100008000000000000026400000000000000000000000000000F03F', '0101000080000000000000204000000000000020400000000000001840', NULL),
	(13, '2025-12-28 04:08:06.618107+00', '2025-12-28 04:08:06.622585+00', NULL, false, '01010000800000000000002840000000000000F0BF0000000000001840', '010100008000000000000026400000000000000000000000000000F03F', '0101000080000000000000204000000000000020400000000000001840', NULL),
	(14, '2025-12-28 04:08:06.654161+00', NULL, NULL, true, '0101000080000000000000004000000000000000000000000000002640', '0101000080000000000000F03F00000000000018400000000000001840', '01010000800000000000002440000000000000F03F000000000000F0BF', NULL),
	(11, '2025-12-28 04:08:06.589043+00', '2025-12-28 04:08:06.654161+00', 14, false, '0101000080000000000000184000000000000024400000000000001040', '0101000080000000000000F03F00000000000018400000000000001840', '01010000800000000000002440000000000000F03F000000000000F0BF', NULL),
	(12, '2025-12-28 04:08:06.589043+00', '2025-12-28 04:08:06.66167+00', NULL, false, '01010000800000000000000840000000000000F0BF0000000000002440', '0101000080000000000000104000000000000028400000000000001440', '0101000080000000000000F0BF0000000000001C400000000000002640', NULL),
	(16, '2025-12-28 04:08:06.993401+00', NULL, NULL, true, '0101000080000000000000000000000000000020400000000000002440', '0101000080000000000000264000000000000026400000000000001040', '010100008000000000000028400000000000000840000000000000F0BF', NULL),
	(17, '2025-12-28 04:08:06.993401+00', NULL, NULL, true, '0101000080000000000000144000000000000000000000000000000040', '010100008000000000000010400000000000001C400000000000002040', '01010000800000000000001040000000000000F03F0000000000001040', NULL),
	(18, '2025-12-28 04:08:06.993401+00', NULL, NULL, true, '0101000080000000000000084000000000000024400000000000001C40', '0101000080000000000000000000000000000008400000000000002240', '010100008000000000000010400000000000000840000000000000F03F', NULL),
	(19, '2025-12-28 04:08:06.993401+00', NULL, NULL, true, '0101000080000000000000264000000000000000000000000000002240', '0101000080000000000000F03F00000000000024400000000000002440', '010100008000000000000008400000000000001840000000000000F03F', NULL),
	(22, '2025-12-28 04:08:06.993401+00', NULL, NULL, true, '01010000800000000000002240000000000000F0BF0000000000002640', '0101000080000000000000184000000000000010400000000000002840', '01010000800000000000000040000000000000F03F0000000000002440', NULL),
	(23, '2025-12-28 04:08:07.016291+00', NULL, NULL, true, '0101000080000000000000264000000000000014400000000000000000', '010100008000000000000020400000000000001C400000000000001440', '0101000080000000000000F0BF00000000000000400000000000002440', NULL),
	(20, '2025-12-28 04:08:06.993401+00', '2025-12-28 04:08:07.016291+00', 23, false, '01010000800000000000002440000000000000F0BF0000000000000000', '010100008000000000000020400000000000001C400000000000001440', '0101000080000000000000F0BF00000000000000400000000000002440', NULL),
	(15, '2025-12-28 04:08:06.993401+00', '2025-12-28 04:08:07.021694+00', NULL, false, '0101000080000000000000284000000000000018400000000000001040', '01010000800000000000001C4000000000000010400000000000001C40', '0101000080000000000000084000000000000026400000000000001840', NULL),
	(24, '2025-12-28 04:08:07.217667+00', NULL, NULL, true, '01010000800000000000001040000000000000F03F000000000000F0BF', '0101000080000000000000284000000000000014400000000000000840', '0101000080000000000000F03F00000000000018400000000000002040', NULL),
	(25, '2025-12-28 04:08:07.217667+00', NULL, NULL, true, '01010000800000000000002840000000000000F03F0000000000001C40', '0101000080000000000000184000000000000018400000000000002440', '0101000080000000000000244000000000000010400000000000001840', NULL),
	(26, '2025-12-28 04:08:07.253021+00', NULL, NULL, true, '0101000080000000000000F03F00000000000000000000000000001440', '0101000080000000000000084000000000000018400000000000002240', '01010000800000000000001440000000000000F03F000000000000F0BF', NULL),
	(21, '2025-12-28 04:08:06.993401+00', '2025-12-28 04:08:07.253021+00', 26, false, '0101000080000000000000204000000000000010400000000000002840', '0101000080000000000000084000000000000018400000000000002240', '01010000800000000000001440000000000000F03F000000000000F0BF', NULL),
	(7, '2025-12-28 04:08:06.589043+00', '2025-12-28 04:08:07.257476+00', NULL, false, '01010000800000000000002840000000000000F03F0000000000000840', '0101000080000000000000104000000000000000400000000000001C40', '0101000080000000000000224000000000000022400000000000000040', NULL),
	(27, '2025-12-28 04:08:07.441375+00', NULL, NULL, true, '0101000080000000000000F03F00000000000022400000000000001840', '010100008000000000000028400000000000001040000000000000F03F', '0101000080000000000000000000000000000018400000000000000840', NULL),
	(28, '2025-12-28 04:08:07.441375+00', NULL, NULL, true, '01010000800000000000001C4000000000000026400000000000001C40', '010100008000000000000028400000000000001C400000000000001040', '0101000080000000000000000000000000000026400000000000002640', NULL),
	(29, '2025-12-28 04:08:07.539957+00', NULL, NULL, true, '0101000080000000000000264000000000000010400000000000002440', '010100008000000000000020400000000000002240000000000000F0BF', '0101000080000000000000264000000000000008400000000000001040', NULL),
	(30, '2025-12-28 04:08:07.539957+00', NULL, NULL, true, '01010000800000000000001C4000000000000024400000000000002240', '0101000080000000000000084000000000000028400000000000001840', '0101000080000000000000084000000000000026400000000000002440', NULL),
	(31, '2025-12-28 04:08:07.539957+00', NULL, NULL, true, '0101000080000000000000244000000000000008400000000000001040', '01010000800000000000002240000000000000F03F0000000000002040', '01010000800000000000002840000000000000F0BF0000000000001840', NULL),
	(32, '2025-12-28 04:08:07.539957+00', NULL, NULL, true, '01010000800000000000001C4000000000000026400000000000000840', '0101000080000000000000104000000000000022400000000000000840', '0101000080000000000000184000000000000008400000000000002840', NULL),
	(33, '2025-12-28 04:08:07.692655+00', NULL, NULL, true, '01010000800000000000001C4000000000000022400000000000002240', '0101000080000000000000264000000000000010400000000000001040', '0101000080000000000000084000000000000022400000000000001040', NULL),
	(34, '2025-12-28 04:08:07.692655+00', NULL, NULL, true, '0101000080000000000000244000000000000028400000000000001440', '010100008000000000000010400000000000002840000000000000F03F', '0101000080000000000000284000000000000028400000000000002440', NULL);
SELECT pg_catalog.setval('matengine.change_seq_seq', 22, true);
SELECT pg_catalog.setval('matengine.run_run_id_seq', 5, true);
SELECT pg_catalog.setval('matengine.unit_unit_id_seq', 28, true);
SELECT pg_catalog.setval('public.annotation_table_metadata_id_seq', 3, true);
SELECT pg_catalog.setval('public.note_ds_aged000000_id_seq', 4, true);
SELECT pg_catalog.setval('public.spare_id_seq', 1, false);
SELECT pg_catalog.setval('public.syn_ds_aged000000_id_seq', 34, true);
ALTER TABLE ONLY graph_ds_aged000000.edge
    ADD CONSTRAINT edge_pkey PRIMARY KEY (a, b, from_ms);
ALTER TABLE ONLY graph_ds_aged000000.fragment_root
    ADD CONSTRAINT fragment_root_pkey PRIMARY KEY (fragment, from_ms);
ALTER TABLE ONLY graph_ds_aged000000.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (supervoxel_id, from_ms);
ALTER TABLE ONLY graph_ds_aged000000.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (one);
ALTER TABLE ONLY graph_ds_aged000000.operation
    ADD CONSTRAINT operation_at_ms_key UNIQUE (at_ms);
ALTER TABLE ONLY graph_ds_aged000000.operation
    ADD CONSTRAINT operation_pkey PRIMARY KEY (operation_id);
ALTER TABLE ONLY graph_ds_aged000000.root_former
    ADD CONSTRAINT root_former_pkey PRIMARY KEY (root_id, former_id);
ALTER TABLE ONLY graph_ds_aged000000.root
    ADD CONSTRAINT root_pkey PRIMARY KEY (root_id);
ALTER TABLE ONLY matengine.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY matengine.bulk_receipt
    ADD CONSTRAINT bulk_receipt_pkey PRIMARY KEY (name);
ALTER TABLE ONLY matengine.change
    ADD CONSTRAINT change_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY matengine.datastack
    ADD CONSTRAINT datastack_pkey PRIMARY KEY (name);
ALTER TABLE ONLY matengine.datastack
    ADD CONSTRAINT datastack_segmentation_key UNIQUE (segmentation);
ALTER TABLE ONLY matengine.emptied
    ADD CONSTRAINT emptied_pkey PRIMARY KEY (datastack, after_epoch, before_epoch);
ALTER TABLE ONLY matengine.epoch
    ADD CONSTRAINT epoch_datastack_time_key UNIQUE (datastack, "time");
ALTER TABLE ONLY matengine.epoch
    ADD CONSTRAINT epoch_pkey PRIMARY KEY (datastack, epoch);
ALTER TABLE ONLY matengine.epoch_table
    ADD CONSTRAINT epoch_table_pkey PRIMARY KEY (datastack, epoch, table_name);
ALTER TABLE ONLY matengine.expired_root
    ADD CONSTRAINT expired_root_pkey PRIMARY KEY (run_id, root_id);
ALTER TABLE ONLY matengine.lookup_failure
    ADD CONSTRAINT lookup_failure_pkey PRIMARY KEY (datastack, table_name, id, point);
ALTER TABLE ONLY matengine.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY matengine.segmentation
    ADD CONSTRAINT segmentation_pkey PRIMARY KEY (name);
ALTER TABLE ONLY matengine.unit
    ADD CONSTRAINT unit_pkey PRIMARY KEY (unit_id);
ALTER TABLE ONLY matengine.version
    ADD CONSTRAINT version_pkey PRIMARY KEY (datastack, version);
ALTER TABLE ONLY public.annotation_table_metadata
    ADD CONSTRAINT annotation_table_metadata_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.annotation_table_metadata
    ADD CONSTRAINT annotation_table_metadata_table_name_key UNIQUE (table_name);
ALTER TABLE ONLY public.note_ds_aged000000
    ADD CONSTRAINT note_ds_aged000000_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.spare
    ADD CONSTRAINT spare_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.syn_ds_aged000000
    ADD CONSTRAINT syn_ds_aged000000_pkey PRIMARY KEY (id);
ALTER TABLE ONLY staging.note_ds_aged000000__ds_aged000000
    ADD CONSTRAINT note_ds_aged000000__ds_aged000000_pkey PRIMARY KEY (id);
ALTER TABLE ONLY staging.spare__ds_aged000000
    ADD CONSTRAINT spare__ds_aged000000_pkey PRIMARY KEY (id);
ALTER TABLE ONLY staging.syn_ds_aged000000__ds_aged000000
    ADD CONSTRAINT syn_ds_aged000000__ds_aged000000_pkey PRIMARY KEY (id);
CREATE INDEX fragment_root_root_id_idx ON graph_ds_aged000000.fragment_root USING btree (root_id);
CREATE INDEX member_fragment_idx ON graph_ds_aged000000.member USING btree (fragment);
CREATE INDEX operation_user_id_at_ms_idx ON graph_ds_aged000000.operation USING btree (user_id, at_ms);
CREATE INDEX root_created_ms_idx ON graph_ds_aged000000.root USING btree (created_ms) WHERE (created_by IS NOT NULL);
CREATE INDEX root_expired_ms_idx ON graph_ds_aged000000.root USING btree (expired_ms) WHERE (retired_by IS NOT NULL);
CREATE INDEX root_former_former_id_idx ON graph_ds_aged000000.root_former USING btree (former_id);
CREATE INDEX note_ds_aged000000__ds_aged000000__from_epoch ON history.note_ds_aged000000__ds_aged000000 USING brin (((from_epoch + 0))) WITH (pages_per_range='32', autosummarize='on');
CREATE INDEX note_ds_aged000000__ds_aged000000__id ON history.note_ds_aged000000__ds_aged000000 USING btree (id);
CREATE INDEX spare__ds_aged000000__from_epoch ON history.spare__ds_aged000000 USING brin (((from_epoch + 0))) WITH (pages_per_range='32', autosummarize='on');
CREATE INDEX spare__ds_aged000000__id ON history.spare__ds_aged000000 USING btree (id);
CREATE INDEX spare__ds_aged000000__post_pt_root_id ON history.spare__ds_aged000000 USING btree (post_pt_root_id);
CREATE INDEX spare__ds_aged000000__pre_pt_root_id ON history.spare__ds_aged000000 USING btree (pre_pt_root_id);
CREATE INDEX syn_ds_aged000000__ds_aged000000__from_epoch ON history.syn_ds_aged000000__ds_aged000000 USING brin (((from_epoch + 0))) WITH (pages_per_range='32', autosummarize='on');
CREATE INDEX syn_ds_aged000000__ds_aged000000__id ON history.syn_ds_aged000000__ds_aged000000 USING btree (id);
CREATE INDEX syn_ds_aged000000__ds_aged000000__post_pt_root_id ON history.syn_ds_aged000000__ds_aged000000 USING btree (post_pt_root_id);
CREATE INDEX syn_ds_aged000000__ds_aged000000__pre_pt_root_id ON history.syn_ds_aged000000__ds_aged000000 USING btree (pre_pt_root_id);
CREATE INDEX change_datastack_due_idx ON matengine.change USING btree (datastack, due);
CREATE UNIQUE INDEX epoch_one_open ON matengine.epoch USING btree (datastack) WHERE (sealed IS NULL);
CREATE UNIQUE INDEX run_one_at_a_time ON matengine.run USING btree (datastack) WHERE ((status = 'running'::text) AND (epoch IS NOT NULL));
CREATE INDEX unit_run_id_state_idx ON matengine.unit USING btree (run_id, state);
CREATE UNIQUE INDEX version_name ON matengine.version USING btree (datastack, name);
CREATE INDEX idx_spare_ctr_pt_position ON public.spare USING gist (ctr_pt_position public.gist_geometry_ops_nd);
CREATE INDEX idx_spare_post_pt_position ON public.spare USING gist (post_pt_position public.gist_geometry_ops_nd);
CREATE INDEX idx_spare_pre_pt_position ON public.spare USING gist (pre_pt_position public.gist_geometry_ops_nd);
CREATE INDEX idx_syn_ds_aged000000_ctr_pt_position ON public.syn_ds_aged000000 USING gist (ctr_pt_position public.gist_geometry_ops_nd);
CREATE INDEX idx_syn_ds_aged000000_post_pt_position ON public.syn_ds_aged000000 USING gist (post_pt_position public.gist_geometry_ops_nd);
CREATE INDEX idx_syn_ds_aged000000_pre_pt_position ON public.syn_ds_aged000000 USING gist (pre_pt_position public.gist_geometry_ops_nd);
CREATE INDEX ix_note_ds_aged000000_created ON public.note_ds_aged000000 USING btree (created);
CREATE INDEX ix_note_ds_aged000000_deleted ON public.note_ds_aged000000 USING btree (deleted);
CREATE INDEX ix_note_ds_aged000000_target_id ON public.note_ds_aged000000 USING btree (target_id);
CREATE INDEX ix_spare_created ON public.spare USING btree (created);
CREATE INDEX ix_spare_deleted ON public.spare USING btree (deleted);
CREATE INDEX ix_syn_ds_aged000000_created ON public.syn_ds_aged000000 USING btree (created);
CREATE INDEX ix_syn_ds_aged000000_deleted ON public.syn_ds_aged000000 USING btree (deleted);
CREATE TRIGGER guard_close AFTER UPDATE ON history.note_ds_aged000000__ds_aged000000 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_close('ds_aged000000');
CREATE TRIGGER guard_close AFTER UPDATE ON history.spare__ds_aged000000 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_close('ds_aged000000');
CREATE TRIGGER guard_close AFTER UPDATE ON history.syn_ds_aged000000__ds_aged000000 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_close('ds_aged000000');
CREATE TRIGGER guard_columns BEFORE UPDATE OF id, created, from_epoch, target_id ON history.note_ds_aged000000__ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('only to_epoch of a row version changes');
CREATE TRIGGER guard_columns BEFORE UPDATE OF id, created, from_epoch, pre_pt_position, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_position, post_pt_supervoxel_id, post_pt_root_id, ctr_pt_position, size ON history.spare__ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('only to_epoch of a row version changes');
CREATE TRIGGER guard_columns BEFORE UPDATE OF id, created, from_epoch, pre_pt_position, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_position, post_pt_supervoxel_id, post_pt_root_id, ctr_pt_position, size ON history.syn_ds_aged000000__ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('only to_epoch of a row version changes');
CREATE TRIGGER guard_delete AFTER DELETE ON history.note_ds_aged000000__ds_aged000000 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_delete('ds_aged000000');
CREATE TRIGGER guard_delete AFTER DELETE ON history.spare__ds_aged000000 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_delete('ds_aged000000');
CREATE TRIGGER guard_delete AFTER DELETE ON history.syn_ds_aged000000__ds_aged000000 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_delete('ds_aged000000');
CREATE TRIGGER guard_insert AFTER INSERT ON history.note_ds_aged000000__ds_aged000000 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_insert('ds_aged000000');
CREATE TRIGGER guard_insert AFTER INSERT ON history.spare__ds_aged000000 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_insert('ds_aged000000');
CREATE TRIGGER guard_insert AFTER INSERT ON history.syn_ds_aged000000__ds_aged000000 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_insert('ds_aged000000');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON history.note_ds_aged000000__ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON history.spare__ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON history.syn_ds_aged000000__ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard BEFORE INSERT OR DELETE OR UPDATE ON matengine.epoch FOR EACH ROW EXECUTE FUNCTION matengine.guard_epoch();
CREATE TRIGGER guard BEFORE INSERT OR DELETE OR UPDATE ON matengine.epoch_table FOR EACH ROW EXECUTE FUNCTION matengine.guard_epoch_table();
CREATE TRIGGER guard BEFORE DELETE OR UPDATE ON matengine.version FOR EACH ROW EXECUTE FUNCTION matengine.guard_version();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.epoch FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.epoch_table FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.version FOR EACH STATEMENT EXECUTE FUNCTION matengine.guard_refuse('it holds versions');
CREATE TRIGGER matengine_delete AFTER DELETE ON public.note_ds_aged000000 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_delete();
CREATE TRIGGER matengine_delete AFTER DELETE ON public.spare REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_delete();
CREATE TRIGGER matengine_delete AFTER DELETE ON public.syn_ds_aged000000 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_delete();
CREATE TRIGGER matengine_insert AFTER INSERT ON public.note_ds_aged000000 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_insert();
CREATE TRIGGER matengine_insert AFTER INSERT ON public.spare REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_insert();
CREATE TRIGGER matengine_insert AFTER INSERT ON public.syn_ds_aged000000 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_insert();
CREATE TRIGGER matengine_truncate BEFORE TRUNCATE ON public.note_ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_truncate();
CREATE TRIGGER matengine_truncate BEFORE TRUNCATE ON public.spare FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_truncate();
CREATE TRIGGER matengine_truncate BEFORE TRUNCATE ON public.syn_ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_truncate();
CREATE TRIGGER matengine_update AFTER UPDATE ON public.note_ds_aged000000 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_update();
CREATE TRIGGER matengine_update AFTER UPDATE ON public.spare REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_update();
CREATE TRIGGER matengine_update AFTER UPDATE ON public.syn_ds_aged000000 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_update();
CREATE TRIGGER matengine_writer BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.note_ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_writer();
CREATE TRIGGER matengine_writer BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.spare FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_writer();
CREATE TRIGGER matengine_writer BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.syn_ds_aged000000 FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_writer();
ALTER TABLE ONLY matengine.change
    ADD CONSTRAINT change_datastack_fkey FOREIGN KEY (datastack) REFERENCES matengine.datastack(name) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.datastack
    ADD CONSTRAINT datastack_segmentation_fkey FOREIGN KEY (segmentation) REFERENCES matengine.segmentation(name);
ALTER TABLE ONLY matengine.emptied
    ADD CONSTRAINT emptied_datastack_fkey FOREIGN KEY (datastack) REFERENCES matengine.datastack(name) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.epoch
    ADD CONSTRAINT epoch_datastack_fkey FOREIGN KEY (datastack) REFERENCES matengine.datastack(name) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.epoch_table
    ADD CONSTRAINT epoch_table_datastack_epoch_fkey FOREIGN KEY (datastack, epoch) REFERENCES matengine.epoch(datastack, epoch) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.expired_root
    ADD CONSTRAINT expired_root_run_id_fkey FOREIGN KEY (run_id) REFERENCES matengine.run(run_id) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.lookup_failure
    ADD CONSTRAINT lookup_failure_datastack_fkey FOREIGN KEY (datastack) REFERENCES matengine.datastack(name) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.run
    ADD CONSTRAINT run_datastack_fkey FOREIGN KEY (datastack) REFERENCES matengine.datastack(name) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.unit
    ADD CONSTRAINT unit_run_id_fkey FOREIGN KEY (run_id) REFERENCES matengine.run(run_id) ON DELETE CASCADE;
ALTER TABLE ONLY matengine.version
    ADD CONSTRAINT version_datastack_fkey FOREIGN KEY (datastack) REFERENCES matengine.datastack(name) ON DELETE CASCADE;
ALTER TABLE ONLY public.note_ds_aged000000
    ADD CONSTRAINT note_ds_aged000000_target_id_fkey FOREIGN KEY (target_id) REFERENCES public.syn_ds_aged000000(id) ON DELETE CASCADE;
