"""Choosing the deliveries that a resend sends, and sending them."""
