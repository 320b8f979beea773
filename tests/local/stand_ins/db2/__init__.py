"""A stand-in for Db2."""
