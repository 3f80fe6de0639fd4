"""The mail to the owners: what it says, and that each owner gets it at most once."""
