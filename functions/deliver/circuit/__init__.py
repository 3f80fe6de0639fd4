"""Whether a delivery may go now: the circuit of its app, its rate, and what is parked."""
