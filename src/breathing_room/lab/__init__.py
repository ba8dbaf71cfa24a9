"""What measures the product; nothing of the product imports it."""
