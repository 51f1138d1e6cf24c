"""Runs of workflows: rows in PostgreSQL that say what is to be done, by whom, and what is done.

Messages of the broker only hurry things up. A unit of work writes its effects and its own
completion in one transaction, so it may be sent, begun or killed any number of times.
"""
