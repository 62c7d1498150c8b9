"""``torch.export`` archive → Draft: ATen nodes put in ONNX's words, then read by the rules of ONNX.

Neither torch nor pickle takes part: an archive is a zip of JSON and raw numbers.
"""
