"""What a network is: its description, its weights, and our own small ones."""
