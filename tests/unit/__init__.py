"""Is each decision right?"""
