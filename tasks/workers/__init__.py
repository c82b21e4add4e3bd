"""Workers outside the flow: processes that claim parts, who starts them, and who waits for them."""
