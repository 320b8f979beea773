"""A stand-in for Oracle Database."""
