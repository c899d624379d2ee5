"""Live calls that are held until a vendor's batch has answered them, at half the price."""
