"""AutoSlim: train a slimmable supernet, search it for narrow networks, retrain one of them."""
