"""PostgreSQL: connections, migrations, COPY in, Arrow out."""
