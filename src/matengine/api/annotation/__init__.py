"""The annotation service: annotation tables and their rows, as CAVE's clients write them."""

from matengine.api.annotation import rows, tables

BLUEPRINTS = (tables.api, rows.api)
