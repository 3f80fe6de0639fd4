"""The sweep: what should have happened hours ago has no message any more, and gets a new one.

So a lost message is a delay, not a loss. EventBridge begins both sweeps every hour. They read bounded pages, one
for each message on the Transitions queue, and scan no table. What a sweep sends does no harm where the first
message was only late: each chain of messages decides by its record.
"""
