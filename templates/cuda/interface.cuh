// The functions of hawq_runtime.h and hawq_cuda.h over the generated tables (kTensors, kSteps, kArchitectures, …).
#pragma once
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "hawq_cuda.h"
#include "steps.cuh"

namespace hawq {

// ---- memory and devices ----

#ifdef __CUDACC__
inline thread_local std::string last_error;

inline bool succeeded(cudaError_t code)
{
    if (code == cudaSuccess) return true;
    last_error = cudaGetErrorString(code);
    return false;
}
inline void* device_allocate(size_t bytes)
{
    void* p = nullptr;
    return succeeded(cudaMalloc(&p, bytes)) ? p : nullptr;
}
inline void device_free(void* p) { cudaFree(p); }
inline bool to_device(void* to, const void* from, size_t bytes) { return succeeded(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice)); }
inline bool to_host(void* to, const void* from, size_t bytes) { return succeeded(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost)); }
inline bool finish_device() { return succeeded(cudaDeviceSynchronize()); }
// The architecture of the current device, e.g. 80; 0 without one.
inline int device_arch()
{
    int device = 0, major = 0, minor = 0;
    if (!succeeded(cudaGetDevice(&device))) return 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    return 10 * major + minor;
}
// The newest row of the table that is not newer than the device.
inline int row_of_device()
{
    int best = -1;
    for (int i = 0; i < kArchitectureCount; i++)
        if (kArchitectures[i].number <= device_arch() && (best < 0 || kArchitectures[i].number > kArchitectures[best].number)) best = i;
    return best;
}
inline bool runs_here(int row) { return row == row_of_device(); }
inline std::string isa_name(int row) { return kArchitectures[row].name; }
#else
inline thread_local std::string last_error;
inline void* device_allocate(size_t bytes) { return std::aligned_alloc(256, (bytes + 255) / 256 * 256); }
inline void device_free(void* p) { std::free(p); }
inline bool to_device(void* to, const void* from, size_t bytes) { return std::memcpy(to, from, bytes) != nullptr; }
inline bool to_host(void* to, const void* from, size_t bytes) { return std::memcpy(to, from, bytes) != nullptr; }
inline bool finish_device() { return true; }
inline int row_of_device() { return 0; }
inline bool runs_here(int row) { return kArchitectures[row].emulated; }
inline std::string isa_name(int row) { return std::string("emulated-") + kArchitectures[row].name; }
#endif

struct Memory {
    void* p = nullptr;
    bool owned = false;

    Memory() = default;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory()
    {
        if (owned) device_free(p);
    }
    bool allocate(size_t bytes)
    {
        p = device_allocate(bytes);
        owned = p != nullptr;
        return owned;
    }
    unsigned char* bytes() const { return static_cast<unsigned char*>(p); }
};

inline constexpr size_t kAlignment = 256;
inline size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
inline size_t input_bytes(int images) { return aligned(static_cast<size_t>(kTensors[0].bytes(images))); }
inline size_t output_bytes(int images) { return aligned(static_cast<size_t>(kTensors[kOutput].bytes(images))); }

// ---- weights ----

// The identity says whose weights they are, the checksum that every word is as it was written.
inline bool weights_intact(const std::vector<unsigned char>& file)
{
    if (file.size() != static_cast<size_t>(kBlobSize)) return false;
    const unsigned char* footer = file.data() + kBlobSize - 64;
    uint64_t sum = 0, word = 0;
    for (uint64_t i = 0; i < static_cast<uint64_t>(kBlobSize - 64) / 8; i++) {
        std::memcpy(&word, file.data() + 8 * i, 8);
        sum += word * (2 * i + 1);
    }
    return !std::memcmp(footer, kBlobIdentity, 16) && sum == kBlobChecksum;
}

inline int close_file(FILE* f) { return std::fclose(f); }

// Beside the library, or in the folder above it.
inline std::string weights_path(const char* given)
{
    Dl_info info;
    if (given) return given;
    if (!dladdr(reinterpret_cast<void*>(&hawq_model_open), &info) || !info.dli_fname) return "weights.bin";
    const std::string library = info.dli_fname;
    const size_t slash = library.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : library.substr(0, slash + 1);
    const bool here = std::unique_ptr<FILE, int (*)(FILE*)>(std::fopen((folder + "weights.bin").c_str(), "rb"), close_file) != nullptr;
    return folder + (here ? "" : "../") + "weights.bin";
}

inline std::vector<unsigned char> read_file(const std::string& path)
{
    std::vector<unsigned char> bytes(static_cast<size_t>(kBlobSize) + 1);
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), close_file);
    bytes.resize(file ? std::fread(bytes.data(), 1, bytes.size(), file.get()) : 0);
    return bytes;
}

// ---- stored values ----

inline int32_t stored_element(const unsigned char* p, int32_t format, size_t i)
{
    int16_t half;
    uint16_t positive;
    int32_t whole;
    switch (format) {
        case kU8: return p[i];
        case kS8: return static_cast<int8_t>(p[i]);
        case kU4: return p[i / 2] >> (4 * (i % 2)) & 15;
        case kS4: return ((p[i / 2] >> (4 * (i % 2)) & 15) ^ 8) - 8;
        case kU16: return std::memcpy(&positive, p + 2 * i, 2), positive;
        case kS16: return std::memcpy(&half, p + 2 * i, 2), half;
        default: return std::memcpy(&whole, p + 4 * i, 4), whole;
    }
}

inline bool copy_values(const Run& run, int t, int32_t* to)
{
    const Tensor& tensor = kTensors[t];
    std::vector<unsigned char> bytes(static_cast<size_t>(tensor.bytes(run.images) - tensor.channel));
    if (!finish_device() || !to_host(bytes.data(), run.view(t).data, bytes.size())) return false;
    for (size_t pixel = 0; pixel < static_cast<size_t>(tensor.height) * tensor.width; pixel++)
        for (int c = 0; c < tensor.channels; c++) *to++ = stored_element(bytes.data(), tensor.format, pixel * tensor.pixel + c);
    return true;
}

// Leaves in `last_error` what a code means, where nothing more is known.
inline int failed(int code)
{
    if (code == HAWQ_OK) return code;
    if (code != HAWQ_EKERNEL && code != HAWQ_EDEVICE) last_error = hawq_error(code);
    else if (last_error.empty()) last_error = hawq_error(code);
    return code;
}

inline uint64_t nanoseconds_now()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

// What a run leaves behind besides its result.
struct Watch {
    int32_t* const* tensors = nullptr;
    uint64_t* times = nullptr;
};

inline int run_step(const Run& run, int i, const Watch& watch)
{
    const uint64_t start = watch.times ? nanoseconds_now() : 0;
#ifdef __CUDACC__
    kSteps[i].run(run);
    if (!succeeded(cudaGetLastError())) return HAWQ_EKERNEL;
#else
    emulation::machine().buffers.clear();
    emulation::machine().arch = 10 * kArchitectures[run.choice].number;
    try {
        kSteps[i].run(run);
    } catch (const emulation::Fault& fault) {
        last_error = std::string("step ") + kSteps[i].name + ": " + fault.what();
        return HAWQ_EKERNEL;
    }
#endif
    if (watch.times) {
        if (!finish_device()) return HAWQ_EKERNEL;
        watch.times[i] = nanoseconds_now() - start;
    }
    for (int t = 0; watch.tensors && t < kTensorCount; t++)
        if (kTensors[t].step == i && watch.tensors[t] && !copy_values(run, t, watch.tensors[t])) return HAWQ_EKERNEL;
    return HAWQ_OK;
}

inline int run_steps(const Run& run, const Watch& watch)
{
    if (watch.tensors && watch.tensors[0] && !copy_values(run, 0, watch.tensors[0])) return HAWQ_EKERNEL;
    for (int i = 0; i < kStepCount; i++)
        if (int code = run_step(run, i, watch)) return code;
    return HAWQ_OK;
}

}  // namespace hawq

struct hawq_model {
    int images = 0, choice = 0;
    hawq::Memory arena, blob, input, output;
    std::string isa;
    std::atomic_flag busy = ATOMIC_FLAG_INIT;

    hawq::Run run(void* from, void* to, int count, cudaStream_t stream) const
    {
        return {hawq::kTensors, arena.bytes(), blob.bytes(), static_cast<unsigned char*>(from), static_cast<unsigned char*>(to), stream, count, choice};
    }
    int open(const hawq_cuda_options& o)
    {
        images = o.images ? o.images : hawq::kBatch;
        choice = -1;
        for (int i = 0; i < hawq::kArchitectureCount && choice < 0; i++)
            if (hawq::runs_here(i) && (!o.isa || !*o.isa || hawq::isa_name(i) == o.isa)) choice = i;
        if (choice < 0) return HAWQ_EISA;
        isa = hawq::isa_name(choice);
        const std::vector<unsigned char> file = hawq::read_file(hawq::weights_path(o.weights));
        if (!hawq::weights_intact(file)) return HAWQ_EWEIGHTS;
        if (!blob.allocate(file.size()) || !hawq::to_device(blob.p, file.data(), file.size())) return HAWQ_ENOMEM;
        if (o.workspace) arena.p = o.workspace;
        else if (!arena.allocate(hawq_cuda_workspace(images))) return HAWQ_ENOMEM;
        return HAWQ_OK;
    }
    // Host memory in, host memory out, as many images at once as there is room for.
    int run_host(const void* from, int32_t* to, size_t count, const hawq::Watch& watch)
    {
        if (!input.p && !input.allocate(hawq::input_bytes(images))) return HAWQ_ENOMEM;
        if (!output.p && !output.allocate(hawq::output_bytes(images))) return HAWQ_ENOMEM;
        const size_t each_in = static_cast<size_t>(hawq::kTensors[0].bytes(1)), each_out = static_cast<size_t>(hawq::kTensors[hawq::kOutput].bytes(1));
        for (size_t first = 0; first < count; first += static_cast<size_t>(images)) {
            const size_t now = count - first < static_cast<size_t>(images) ? count - first : static_cast<size_t>(images);
            if (!hawq::to_device(input.p, static_cast<const uint8_t*>(from) + first * each_in, now * each_in)) return HAWQ_EDEVICE;
            if (int code = hawq::run_steps(run(input.p, output.p, static_cast<int>(now), nullptr), watch)) return code;
            if (!hawq::finish_device() || !hawq::to_host(reinterpret_cast<uint8_t*>(to) + first * each_out, output.p, now * each_out)) return HAWQ_EKERNEL;
        }
        return HAWQ_OK;
    }
    int guarded(const void* from, int32_t* to, size_t count, const hawq::Watch& watch)
    {
        if (count && (!from || !to)) return HAWQ_EARG;
        if (busy.test_and_set(std::memory_order_acquire)) return HAWQ_EBUSY;
        const int code = run_host(from, to, count, watch);
        busy.clear(std::memory_order_release);
        return hawq::failed(code);
    }
};

extern "C" {

int hawq_abi(void) { return HAWQ_ABI; }
const char* hawq_version(void) { return hawq::kVersion; }
int hawq_steps(void) { return hawq::kStepCount; }
int hawq_tensors(void) { return hawq::kTensorCount; }
int hawq_input(hawq_io* out) { return hawq_tensor(0, out); }
int hawq_output(hawq_io* out) { return hawq_tensor(hawq::kOutput, out); }
const char* hawq_step_name(int i) { return i >= 0 && i < hawq::kStepCount ? hawq::kSteps[i].name : ""; }
const char* hawq_model_isa(const hawq_model* m) { return m ? m->isa.c_str() : ""; }
size_t hawq_input_bytes(void) { return static_cast<size_t>(hawq::kTensors[0].bytes(1)); }
size_t hawq_output_values(void) { return static_cast<size_t>(hawq::kTensors[hawq::kOutput].bytes(1)) / 4; }
int hawq_model_threads(const hawq_model* m) { return m ? 1 : 0; }
size_t hawq_cuda_workspace(int images) { return hawq::aligned(static_cast<size_t>(hawq::kArenaBytes) * static_cast<size_t>(images)); }
size_t hawq_cuda_weights(void) { return static_cast<size_t>(hawq::kBlobSize); }
int hawq_cuda_batch(void) { return hawq::kBatch; }
int hawq_cuda_toolkit(void)
{
#ifdef __CUDACC__
    return CUDART_VERSION;
#else
    return 0;
#endif
}

int hawq_tensor(int i, hawq_io* out)
{
    if (i < 0 || i >= hawq::kTensorCount || !out) return hawq::failed(HAWQ_EARG);
    const hawq::Tensor& t = hawq::kTensors[i];
    *out = {t.name, (t.bits + 7) / 8, t.rank, {t.shape[0], t.shape[1], t.shape[2], t.shape[3]}};
    return HAWQ_OK;
}

const char* hawq_isa(int i)
{
    static thread_local std::string name;
    for (int row = 0; row < hawq::kArchitectureCount; row++)
        if (hawq::runs_here(row) && i-- == 0) return (name = hawq::isa_name(row)).c_str();
    return nullptr;
}

const char* hawq_error(int code)
{
    switch (code) {
        case HAWQ_OK: return "ok";
        case HAWQ_EARG: return "bad argument";
        case HAWQ_ENOMEM: return "out of memory";
        case HAWQ_EISA: return "this device has no kernels in this library";
        case HAWQ_EWEIGHTS: return "the weight file is missing, damaged, or of another model";
        case HAWQ_EBUSY: return "the context is already running in another thread";
        case HAWQ_EKERNEL: return "a kernel failed";
        case HAWQ_EDEVICE: return "there is no device, or the CUDA run time refused";
        default: return "unknown error";
    }
}

const char* hawq_last_error(void) { return hawq::last_error.c_str(); }

void hawq_model_close(hawq_model* m) { delete m; }

int hawq_cuda_open(const hawq_cuda_options* options, hawq_model** out)
{
    if (!out || !options || options->size < sizeof *options || options->images < 0) return hawq::failed(HAWQ_EARG);
    *out = nullptr;
    std::unique_ptr<hawq_model> m(new (std::nothrow) hawq_model);
    if (!m) return hawq::failed(HAWQ_ENOMEM);
    const int code = m->open(*options);
    if (code == HAWQ_OK) *out = m.release();
    return hawq::failed(code);
}

int hawq_model_open(const hawq_options* options, hawq_model** out)
{
    if (options && options->size < sizeof *options) return hawq::failed(HAWQ_EARG);
    const hawq_cuda_options full = {sizeof full, 0, options ? options->isa : nullptr, options ? options->weights : nullptr, nullptr};
    return hawq_cuda_open(&full, out);
}

int hawq_cuda_run(hawq_model* m, const void* input, void* output, int images, void* stream)
{
    if (!m || !input || !output || images < 1 || images > m->images) return hawq::failed(HAWQ_EARG);
    return hawq::failed(hawq::run_steps(m->run(const_cast<void*>(input), output, images, static_cast<cudaStream_t>(stream)), {}));
}

int hawq_model_run(hawq_model* m, const void* images, int32_t* logits, size_t count)
{
    return m ? m->guarded(images, logits, count, {}) : hawq::failed(HAWQ_EARG);
}

int hawq_model_trace(hawq_model* m, const void* image, int32_t* logits, int32_t* const* tensors)
{
    return m && tensors ? m->guarded(image, logits, 1, {tensors, nullptr}) : hawq::failed(HAWQ_EARG);
}

int hawq_model_profile(hawq_model* m, const void* image, int32_t* logits, uint64_t* nanoseconds)
{
    return m && nanoseconds ? m->guarded(image, logits, 1, {nullptr, nanoseconds}) : hawq::failed(HAWQ_EARG);
}

}  // extern "C"
