"""The front of two metrics of a build: asked for in words, solved point by point, drawn; the verb is ``front.pareto``."""
