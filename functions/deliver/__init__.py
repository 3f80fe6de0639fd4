"""deliver: signs webhooks, posts them, keeps the delivery log and counts the outcomes."""

import gc

# Nearly all that a start makes stays, and looking through it again and again is a tenth of the start's CPU.
gc.set_threshold(10_000, 10, 10)
