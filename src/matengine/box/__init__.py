"""Box mode: a private PostgreSQL and Redis beside our own processes, in one data folder."""
