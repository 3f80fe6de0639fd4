"""The registry file: its schema, reading and checking it, and what it changes on a stack."""
