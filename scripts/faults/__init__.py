"""Faults one by one against a small service, and what each leaves in the tables."""
