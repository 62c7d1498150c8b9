"""ONNX file → Draft: opset 11 to 21, the operators of ``operators.RULES``; constant parts are folded."""
