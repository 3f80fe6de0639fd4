"""deliver: signs webhooks, posts them, keeps the delivery log and counts the outcomes."""
