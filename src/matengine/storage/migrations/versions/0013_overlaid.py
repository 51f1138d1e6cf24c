"""A statement that was planned over an overlay says so where a crash has emptied it since."""

from alembic import op

revision = "0013"
down_revision = "0012"

# STABLE: it sees what the calling statement sees, and that is the list as it is with the overlay.
OVERLAID = """
CREATE FUNCTION matengine.overlaid(an_overlay text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM matengine.overlay WHERE name = an_overlay) THEN
    RAISE EXCEPTION 'rows that were prepared for it are lost, ask again';
  END IF;
  RETURN true;
END $$;
"""


def upgrade() -> None:
    op.execute(OVERLAID)
