"""Sees what no rotation can say of itself: that it never ran, or that its function is about to go."""
