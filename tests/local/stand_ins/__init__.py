"""Servers that stand in for those that cannot be had: each speaks its wire protocol to the real client."""
