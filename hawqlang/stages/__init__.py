"""The steps: one module or folder per verb, each a function from nouns to a noun."""
