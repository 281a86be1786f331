"""Making webhooks, finding what they are to be told, telling it."""
