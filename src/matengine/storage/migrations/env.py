"""Alembic's entry: runs on the connection that `matengine.storage.migrate` opened."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table_schema="matengine"
)
with context.begin_transaction():
    context.run_migrations()
context.config.attributes["connection"].commit()
