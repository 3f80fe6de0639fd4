"""The commands: one file each, with what it reads, what it does and how it shows that."""
