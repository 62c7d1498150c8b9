"""What is known of a build's model before bits are chosen: graph, layers, ranges, sensitivities, candidates."""
