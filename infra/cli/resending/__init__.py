"""Choosing the deliveries that a resend sends; sending few at once, and many by a job of health."""
