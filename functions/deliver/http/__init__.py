"""One verb: `Transport.post`, a POST that no endpoint can prolong or lead astray."""
