"""The front of two metrics: asked for in words, solved point by point, drawn; the verb is ``front.pareto``."""
