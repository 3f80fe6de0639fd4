"""One attempt of a delivery: what it is signed with, what its end means, what comes after it."""
