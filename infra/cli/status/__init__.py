"""What `bellhop status` and `bellhop apps` show of a whole stack, each part with its reads."""
