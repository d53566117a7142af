"""What a message costs: rate cards, billing months, and the estimate shown before it is sent."""
