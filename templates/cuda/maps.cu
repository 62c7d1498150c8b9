// The kernels without tensor cores, compiled by themselves: the same for every network.
#define HAWQ_KERNELS
#include "conv_direct.cuh"
#include "conv_igemm.cuh"
#include "pools.cuh"

namespace hawq {

template void launch_conv_direct<kAll, true>(const DirectArgs&, int, cudaStream_t);
template void launch_conv_direct<kAll, false>(const DirectArgs&, int, cudaStream_t);
template void launch_conv_direct<kOwn, true>(const DirectArgs&, int, cudaStream_t);
template void launch_conv_direct<kOwn, false>(const DirectArgs&, int, cudaStream_t);
template void launch_conv_direct<kGroup, true>(const DirectArgs&, int, cudaStream_t);
template void launch_conv_direct<kGroup, false>(const DirectArgs&, int, cudaStream_t);

}  // namespace hawq
