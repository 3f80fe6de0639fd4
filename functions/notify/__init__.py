"""notify: an issue event in, one delivery for each hook that wants it out."""
