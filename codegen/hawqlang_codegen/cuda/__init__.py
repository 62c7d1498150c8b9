"""Integer-only CUDA: implicit-GEMM kernels on tensor cores, the same sources checked on a host."""
