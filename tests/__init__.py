"""The tests, one folder per question they ask."""
