"""What can be typed, by subject. Each file has the arguments and the help of its commands."""
