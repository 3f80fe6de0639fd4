"""notify: takes an issue event, enqueues one delivery for each hook that wants it."""
