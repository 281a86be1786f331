"""Writing pipelines: planning, starting, advancing, cancelling and retrying them."""
