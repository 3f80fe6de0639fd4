"""One attempt of a delivery: what it is signed with, what a response means, and what comes after it."""
