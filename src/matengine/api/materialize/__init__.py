"""The materialization API as CAVE's clients know it: versions, their tables, queries."""

from matengine.api.materialize import queries, service, tables, versions

BLUEPRINTS = (service.api, versions.api, tables.api, queries.api)
