"""Notices what no rotation can report itself: that it never ran, or that its function is about to be deleted."""
