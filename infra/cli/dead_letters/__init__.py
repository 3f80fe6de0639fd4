"""Dead letters: what they are, and reading, redriving and deleting them without losing one."""
