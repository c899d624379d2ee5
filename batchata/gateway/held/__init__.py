"""Live calls that are held until a batch of the vendor has answered them, at half the price."""
