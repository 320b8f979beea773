"""Rotates database credentials kept in AWS Secrets Manager; start reading at `rotation.steps`."""
