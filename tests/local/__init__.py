"""A laptop-sized AWS, for the tests and the demo."""
