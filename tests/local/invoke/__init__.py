"""One step of a rotation, done as Lambda would, on this machine."""
