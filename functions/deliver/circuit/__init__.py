"""The circuit of an app's endpoint: whether its deliveries may go out now, and when an app is paused."""
