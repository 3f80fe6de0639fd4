"""What `bellhop doctor` looks at. Each file reads facts about one matter, and judges them without any call."""
