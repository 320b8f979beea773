"""Real database servers, started without an installation."""
