"""The operator's command `bellhop`."""
