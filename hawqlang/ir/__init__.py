"""The nouns between the steps: frozen values."""
