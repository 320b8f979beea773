"""One driver per engine, side by side, parts in the same order."""
