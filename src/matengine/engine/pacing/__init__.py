"""Keeping close: epochs without a version, made when so much has changed that they are worth it."""
