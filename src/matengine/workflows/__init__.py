"""Celery: messages that hurry runs along. What is done and to do is known to PostgreSQL alone."""
