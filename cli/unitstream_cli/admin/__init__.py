"""What operators do with their AWS credentials: streams and their tokens, and replaying events."""
