"""Requests of the extension as they were once answered, and the application that answered them."""
