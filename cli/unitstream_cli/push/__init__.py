"""`unitstream push`: files of any kind, checked as a whole, become requests."""
