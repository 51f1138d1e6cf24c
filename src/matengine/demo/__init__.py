"""The demo: one datastack from files to several versions, on real services, with its figures."""
